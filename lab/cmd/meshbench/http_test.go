package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/trace"
)

// A trace of an application is collected by commands, through a front of the
// command's own and through one that runs apart.
func TestApplication(t *testing.T) {
	dir := t.TempDir()
	var urls []any
	for range 2 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "42") }))
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	file := filepath.Join(dir, "quotes.yaml")
	text := fmt.Sprintf(`name: quotes
nodes: [{name: v1}, {name: v2}]
microservices: [{name: quote, nodes: [v1, v2], time: 0.01}]
services:
  - {name: quote, stages: [quote], load: {min: 20, max: 40}, goal: 0.05, requests: [{path: /quote}]}
timing: {step: 0.2, settle: 0.05}
application:
  nodes: {v1: "%s", v2: "%s"}
`, urls...)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	t.Setenv(tokenVariable, "")
	front := []string{"front", "-scenario", file, "-listen", "127.0.0.1:0", "-control", "127.0.0.1:0"}
	if err := run(ctx, front); err == nil || !strings.Contains(err.Error(), "$"+tokenVariable+" is not set") {
		t.Errorf("a front without a token: %v", err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"of no application", []string{"collect", "-testbed", "http", filepath.Join(dir, "x.csv")}, "scenario paper has no application"},
		{"half a front", []string{"collect", "-scenario", file, "-control", "http://127.0.0.1:1", filepath.Join(dir, "x.csv")}, "a front that runs apart needs"},
		{"a request log of another testbed", []string{"collect", "-testbed", "virtual", "-requests", "x", filepath.Join(dir, "x.csv")}, "-control and -requests are for testbed http, not virtual"},
		{"without a trace", []string{"evaluate", "-scenario", file}, "name the trace to learn from with -trace"},
		{"two beds", []string{"evaluate", "-scenario", file, "-beds", "2"}, "accepted for http: 1"},
		{"a front of no application", []string{"front"}, "$" + tokenVariable + " is not set"},
	} {
		if err := run(ctx, c.args); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", c.name, err, c.want)
		}
	}
	t.Setenv(tokenVariable, "secret")
	if err := run(ctx, []string{"front"}); err == nil || !strings.Contains(err.Error(), "scenario paper has no application") {
		t.Errorf("a front of no application: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, front) }()
	path, log := filepath.Join(dir, "quotes.csv"), filepath.Join(dir, "requests.csv")
	if err := run(ctx, []string{"collect", "-scenario", file, "-requests", log, "-steps", "4", path}); err != nil {
		t.Fatal(err)
	}
	got, err := trace.Read(path, trace.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != 4 || got.Meta().Testbed != "http" || got.Meta().Scenario != "quotes" {
		t.Errorf("%d rows of %+v", got.Len(), got.Meta())
	}
	if b, err := os.ReadFile(log); err != nil || strings.Count(string(b), "\n") < 10 {
		t.Errorf("request log %q, %v", b, err)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the front ended with %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the front does not end")
	}
}
