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
	s := settings(map[string]string{"TIME_SCALE": "0", "LINK": "fast", "SEED": "-1", "NODES": "a,a", "CONTROL_TOKEN_FILE": empty})
	s.Positive("TIME_SCALE", 1)
	s.Positive("LINK", 1)
	s.Whole("SEED", 0)
	s.Mesh()
	s.Token()
	err := s.Err()
	for _, want := range []string{`TIME_SCALE is "0"`, `LINK is "fast"`, `SEED is "-1"`, "NODES", "is empty"} {
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
	s := settings(map[string]string{"TIME_SCALE": "2.5", "SERVICES": "a,b,c"})
	if x := s.Positive("TIME_SCALE", 1); x != 2.5 {
		t.Errorf("time scale %v", x)
	}
	if m := s.Mesh(); m.M() != 3 || m.N() != 2 || s.Text("LISTEN", ":8080") != ":8080" || s.Err() != nil {
		t.Errorf("mesh %s, error %v", m, s.Err())
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
		ended <- Serve(ctx, Port{"127.0.0.1:0", http.NotFoundHandler()}, Port{addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	if err := Serve(context.Background(), Port{"127.0.0.1:0", nil}, Port{"127.0.0.1:99999", nil}); err == nil {
		t.Error("no error for a bad address")
	}
}
