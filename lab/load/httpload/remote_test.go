package httpload_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
)

// A remote generator makes the same requests as one in the process.
func TestRemote(t *testing.T) {
	ctx := context.Background()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
	defer target.Close()
	cfg := httpload.Config{Mesh: mesh.New(2, 2), Target: target.URL, Items: []int{10, 10}, TimeScale: 50, Client: request.Client{Timeout: 1000}}
	served, err := httpload.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	h, err := httpload.NewHandler(served, "secret")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	here, err := httpload.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	there := &httpload.Remote{URL: server.URL, Token: "secret"}
	step := httpload.Step{Number: 3, Load: mesh.Load{5, 20}, Settle: .5, Seconds: 5}
	var lists [2][]httpload.Result
	for k, g := range []interface {
		Reset(context.Context, uint64) error
		Run(context.Context, httpload.Step) ([]httpload.Result, error)
	}{here, there} {
		if err := g.Reset(ctx, 7); err != nil {
			t.Fatal(err)
		}
		if lists[k], err = g.Run(ctx, step); err != nil {
			t.Fatal(err)
		}
	}
	if len(lists[0]) < 50 || len(lists[0]) != len(lists[1]) {
		t.Fatalf("%d requests here, %d there", len(lists[0]), len(lists[1]))
	}
	for k := range lists[0] {
		a, b := lists[0][k], lists[1][k]
		if a.Request != b.Request || b.Status != http.StatusOK || !(b.Delay > 0) {
			t.Fatalf("request %d: %+v and %+v", k, a, b)
		}
	}
	// A client that hangs up stops the step.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	step.Seconds = 500
	if _, err := there.Run(short, step); err == nil {
		t.Error("an interrupted step gave no error")
	}
	for begin := time.Now(); there.Reset(ctx, 1) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("the generator did not end the step")
		}
	}
}

func TestHandlerErrors(t *testing.T) {
	g, err := httpload.New(httpload.Config{Mesh: mesh.New(2, 2), Target: "http://127.0.0.1:1", Items: []int{1, 1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, err := httpload.NewHandler(g, ""); err == nil {
		t.Error("a handler without a token")
	}
	h, err := httpload.NewHandler(g, "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token, path, body string
		code              int
		want              string
	}{
		{"", "/run", `{}`, 401, "Authorization"},
		{"guess", "/reset", `{"seed":1}`, 401, "Authorization"},
		{"secret", "/reset", `{}`, 400, "no seed"},
		{"secret", "/run", `{`, 400, "not an order"},
		{"secret", "/run", `{"stop":1}`, 400, "not an order"},
		{"secret", "/run", `{"step":{"Load":[1],"Seconds":5}}`, 400, "2 loads"},
		{"secret", "/run", `{"step":{"Load":[1,-1],"Seconds":5}}`, 400, "load l2 is -1"},
		{"secret", "/run", `{"step":{"Load":[1,1]}}`, 400, "Seconds above 0"},
		{"secret", "/run", strings.Repeat(" ", 2<<20) + `{}`, 400, "too large"},
	} {
		req := httptest.NewRequest("POST", c.path, strings.NewReader(c.body))
		req.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %.40s: %d %q, want %d and %q", c.path, c.body, w.Code, w.Body, c.code, c.want)
		}
	}
}
