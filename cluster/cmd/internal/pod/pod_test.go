package pod

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/scenario"
)

func settings(env map[string]string) *Settings {
	return &Settings{Lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
}

// Everything that is wrong is said at once.
func TestSettingsErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings(map[string]string{"TIME_SCALE": "0", "LINK": "fast", "SEED": "-1", "SCENARIO": "none", "CONTROL_TOKEN_FILE": empty})
	s.Positive("TIME_SCALE", 1)
	s.Positive("LINK", 1)
	s.Whole("SEED", 0)
	s.Scenario()
	s.Token()
	err := s.Err()
	for _, want := range []string{`TIME_SCALE is "0"`, `LINK is "fast"`, `SEED is "-1"`, `unknown scenario "none"`, "is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	for _, env := range []map[string]string{{}, {"CONTROL_TOKEN_FILE": filepath.Join(dir, "none")}} {
		s := settings(env)
		if s.Token(); s.Err() == nil {
			t.Errorf("%v: no error", env)
		}
	}
}

func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scenario.yaml")
	text, err := scenario.Text("graph")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]map[string]string{"paper": {"TIME_SCALE": "2.5"}, "chain": {"TIME_SCALE": "2.5", "SCENARIO": "chain"}, "graph": {"TIME_SCALE": "2.5", "SCENARIO": file}} {
		s := settings(env)
		if x := s.Positive("TIME_SCALE", 1); x != 2.5 {
			t.Errorf("time scale %v", x)
		}
		sc := s.Scenario()
		items, err := Items(sc)
		if sc.Name != name || err != nil || len(items) != len(sc.Mesh.Layout().Microservices) || s.Text("LISTEN", ":8080") != ":8080" || s.Err() != nil {
			t.Errorf("scenario %s, items %v, errors %v, %v", sc.Name, items, err, s.Err())
		}
	}
}

// Requests under way are answered after the signal.
func TestServeEndsGracefully(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, stop := context.WithCancel(context.Background())
	begun := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, Port{Address: "127.0.0.1:0", Handler: http.NotFoundHandler()}, Port{Address: addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			time.Sleep(100 * time.Millisecond)
		})})
	}()
	status := make(chan int, 1)
	go func() {
		for {
			resp, err := http.Get("http://" + addr)
			if err == nil {
				resp.Body.Close()
				status <- resp.StatusCode
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	<-begun
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if code := <-status; code != http.StatusOK {
		t.Errorf("status %d", code)
	}
	if err := Serve(context.Background(), Port{Address: "127.0.0.1:0"}, Port{Address: "127.0.0.1:99999"}); err == nil {
		t.Error("no error for a bad address")
	}
}
