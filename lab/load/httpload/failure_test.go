package httpload_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/call"
)

// Whatever a front answers, the reasons of a step's failures are few, short and
// without addresses, and the log of requests is CSV.
func TestReasons(t *testing.T) {
	hijack := func(w http.ResponseWriter, text string) {
		c, _, _ := w.(http.Hijacker).Hijack()
		io.WriteString(c, text)
		c.Close()
	}
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		status int
		want   string
	}{
		{"hangs up", func(w http.ResponseWriter, r *http.Request) { hijack(w, "") }, 0, "connection: closed"},
		{"hangs up within the reply", func(w http.ResponseWriter, r *http.Request) {
			hijack(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
		}, 200, "connection: closed"},
		{"speaks something else", func(w http.ResponseWriter, r *http.Request) { hijack(w, "SSH-2.0 "+r.URL.Path+"\r\n") }, 0, "connection: net/http: HTTP/1.x transport connection broken: malformed HTTP status code"},
		{"answers with a quote", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Failure", `no healthy upstream, flag "UH"`)
			w.WriteHeader(503)
		}, 503, `no healthy upstream, flag "UH"`},
		{"answers at length", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Failure", strings.Repeat("no, ", 1000))
			w.WriteHeader(503)
		}, 503, strings.Repeat("no, ", 20) + "..."},
		{"redirects", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://"+r.Host+r.URL.Path, 302) }, 302, "status 302"},
		{"tells of calls in its own way", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Calls", "web 1 s") }, 200, "header Calls cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			var asked atomic.Int64
			g := generator(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); c.answer(w, r) }, httpload.Config{Log: &log})
			results := run(t, g, httpload.Step{Load: mesh.Load{30, 30}, Seconds: .5})
			if len(results) < 10 {
				t.Fatalf("%d requests", len(results))
			}
			for _, r := range results {
				if r.Failure != c.want || r.Status != c.status {
					t.Fatalf("status %d, %q; want %d, %q", r.Status, r.Failure, c.status, c.want)
				}
			}
			rows, err := csv.NewReader(&log).ReadAll()
			if err != nil || len(rows) != len(results)+1 || rows[1][6] != c.want {
				t.Errorf("%d rows of %d requests: %v", len(rows)-1, len(results), err)
			}
		})
	}
}

// A request of several calls asks for what its draw picks, says which run it
// is of, and has the calls that the reply tells of in unscaled time.
func TestCalls(t *testing.T) {
	m := mesh.Mesh{Nodes: []mesh.Node{{Name: "a"}}, Services: []mesh.Service{
		{Name: "my shop", Stages: []mesh.Stage{{{Microservice: "web", Nodes: []string{"a"}}}, {{Microservice: "store", Nodes: []string{"a"}}}}},
		{Name: "look", Stages: []mesh.Stage{{{Microservice: "store", Nodes: []string{"a"}}}}}}}
	told := []call.Call{{Microservice: "web", Node: "a", Seconds: .001}, {Microservice: "store", Node: "a", Seconds: .25}}
	var log bytes.Buffer
	g := generator(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Run") != "7" {
			t.Errorf("a request of run %q", r.Header.Get("Run"))
		}
		w.Header().Set("Calls", call.Format(told))
		w.Header().Set("Node", r.URL.Path)
	}, httpload.Config{Mesh: m, TimeScale: 4, Log: &log})
	for _, r := range run(t, g, httpload.Step{Load: mesh.Load{20, 20}, Seconds: 2, Run: "7"}) {
		want := fmt.Sprintf("/my shop/items/%d", r.Draw)
		if r.Service == 1 {
			want = fmt.Sprintf("/look/items/%d", r.Draw%20)
		}
		if r.Node != want {
			t.Errorf("asked for %s, want %s", r.Node, want)
		}
		if len(r.Calls) != 2 || r.Calls[0] != (call.Call{Microservice: "web", Node: "a", Seconds: .004}) || r.Calls[1].Seconds != 1 {
			t.Errorf("calls %+v", r.Calls)
		}
	}
	if !strings.Contains(log.String(), `"web a 0.004000, store a 1.000000"`) {
		t.Errorf("the log lacks the calls:\n%.200s", log.String())
	}
}

// A step of more requests than any testbed serves is refused before it starts,
// and one that is made can be ended.
func TestTooMuch(t *testing.T) {
	g := generator(t, func(http.ResponseWriter, *http.Request) {}, httpload.Config{Client: request.Client{Timeout: -1}})
	for _, c := range []struct {
		load    mesh.Load
		seconds float64
		want    string
	}{
		{mesh.Load{1e300, 0}, 1, "requests in"},
		{mesh.Load{1e300, 1e308}, 1, "accepted: at most 1000000 in a step"},
		{mesh.Load{1e6, 1}, .001, "makes 2e+06 requests in 2 s"},
		{mesh.Load{20, 20}, 1e9, "makes 4e+10 requests in 1e+09 s"},
		{mesh.Load{-1, 20}, 1, "load l1 is -1"},
		{mesh.Load{1}, 1, "1 loads for 2 services"},
	} {
		begin := time.Now()
		_, err := g.Run(context.Background(), httpload.Step{Load: c.load, Seconds: c.seconds})
		if err == nil || !strings.Contains(err.Error(), c.want) || time.Since(begin) > time.Second {
			t.Errorf("%v for %v s: error %v, want one with %q", c.load, c.seconds, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := g.Run(ctx, httpload.Step{Load: mesh.Load{100, 100}, Seconds: 4000}); err == nil || time.Since(begin) > 5*time.Second {
		t.Errorf("a cancelled step ended after %v with %v", time.Since(begin), err)
	}
}
