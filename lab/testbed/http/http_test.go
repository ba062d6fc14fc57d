package http_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	nethttp "net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/http"
	"github.com/meshbench/meshbench/lab/trace"
)

// shop is an application of which no line is this project's: one worker that
// takes a time for every answer, a header that says the version, and paths with
// faults.
type shop struct {
	*httptest.Server
	asked atomic.Int64
}

func newShop(t *testing.T, version string, takes time.Duration) *shop {
	t.Helper()
	s := &shop{}
	worker := make(chan struct{}, 1)
	mux := nethttp.NewServeMux()
	mux.HandleFunc("/product/", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		s.asked.Add(1)
		worker <- struct{}{}
		time.Sleep(takes)
		<-worker
		w.Header().Set("X-Version", version)
		fmt.Fprintln(w, "a product")
	})
	mux.HandleFunc("/cart", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Version", version)
		if r.Method != "POST" || !strings.HasPrefix(string(body), `{"id": `) {
			nethttp.Error(w, "what?", nethttp.StatusBadRequest)
			return
		}
		w.WriteHeader(nethttp.StatusCreated)
	})
	mux.HandleFunc("/tenth", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if n := s.asked.Add(1); n > 3 && n%10 == 0 {
			nethttp.Error(w, "no", nethttp.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/limit", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if n := s.asked.Add(1); n > 3 && n%10 == 0 {
			w.WriteHeader(nethttp.StatusTooManyRequests)
		}
	})
	mux.HandleFunc("/moved", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Redirect(w, r, s.URL+"/product/1", nethttp.StatusFound)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// deployed is a scenario of two shops; requests and application are added to it.
func deployed(t *testing.T, v1, v2 *shop, requests, application string) scenario.Scenario {
	t.Helper()
	text := fmt.Sprintf(`name: deployed
nodes: [{name: v1}, {name: v2}]
microservices:
  - {name: shop, nodes: [v1, v2], time: 0.01}
services:
  - name: shop
    stages: [shop]
    load: {min: 10, max: 60, values: [10, 30, 60]}
    goal: 0.03
    requests: %s
timing: {step: 0.4, settle: 0.1}
application:
  nodes: {v1: "%s", v2: "%s"}
%s`, requests, v1.URL, v2.URL, application)
	s, err := scenario.Parse("deployed.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, cfg http.Config) *http.Testbed {
	t.Helper()
	b, err := http.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

const products = `[{path: "/product/{id}", weight: 3, values: {id: {min: 1, max: 99}}}, {method: POST, path: /cart, body: '{"id": {id}}', expect: [201], values: {id: [7]}}]`

// Requests go where the action says, its share is blocked, and the slow version
// is seen to be slow.
func TestMeasure(t *testing.T) {
	fast, slow := newShop(t, "one", 2*time.Millisecond), newShop(t, "two", 30*time.Millisecond)
	for _, c := range []struct {
		name, application string
		attributed        bool
	}{
		{"by the front", "", true},
		{"by a header", "  attribution: header\n  header: X-Version\n  names: {one: v1, two: v2}\n", true},
		{"unknown", "  attribution: none\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			b := start(t, http.Config{Scenario: deployed(t, fast, slow, products, c.application), Generator: httpload.Config{Log: &log}})
			measure := func(l float64, a mesh.Action) mesh.Measurement {
				t.Helper()
				x, err := b.Measure(context.Background(), mesh.Load{l}, a)
				if err != nil {
					t.Fatal(err)
				}
				if x.Mark != "" && !strings.Contains(x.Mark, "generator late") {
					t.Errorf("mark %q", x.Mark)
				}
				return x.Clone()
			}
			x := measure(50, mesh.Action{1, 0, 0})
			if n := x.Service[0].Count; n < 5 || x.Failed[0] != 0 || x.Blocked[0] != 0 || x.Generated[0] != n/.4 {
				t.Errorf("all to v1: %+v", x)
			}
			if c.attributed != (x.Endpoint[0].Count == x.Service[0].Count) || x.Endpoint[1].Count != 0 {
				t.Errorf("all to v1: endpoints %+v of %+v", x.Endpoint, x.Service)
			}
			y := measure(20, mesh.Action{0, 1, 0})
			if y.Service[0].Mean < .015 || c.attributed != (y.Endpoint[1].Count == y.Service[0].Count) {
				t.Errorf("all to v2, which takes 30 ms for most: %+v, endpoints %+v", y.Service, y.Endpoint)
			}
			z := measure(60, mesh.Action{1, 0, 1})
			if z.Service[0].Count != 0 || z.Blocked[0] < 5 || z.Carried[0] != 0 || !math.IsNaN(z.Service[0].Mean) {
				t.Errorf("all blocked: %+v", z)
			}
			if len(b.Failures()) != 0 {
				t.Errorf("failures %v", b.Failures())
			}
			if n := strings.Count(log.String(), "\n"); n < 1+int(x.Service[0].Count+y.Service[0].Count+z.Blocked[0]) {
				t.Errorf("%d lines in the request log", n)
			}
		})
	}
}

// What an application does wrong is counted as what it is, and disturbs no step.
func TestFaultsOfTheApplication(t *testing.T) {
	for _, c := range []struct {
		name, requests, failure string
		share                   float64
	}{
		{"500 for a tenth", "[{path: /tenth}]", "status 500", .1},
		{"a tenth turned away by the application", "[{path: /limit}]", "limited by the application", .1},
		{"redirects", "[{path: /moved, expect: [200, 302]}]", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, two := newShop(t, "one", time.Millisecond), newShop(t, "two", time.Millisecond)
			b := start(t, http.Config{Scenario: deployed(t, one, two, c.requests, "")})
			failed, all := 0., 0.
			for range 4 {
				x, err := b.Measure(context.Background(), mesh.Load{100}, mesh.Action{1, 0, 0})
				if err != nil {
					t.Fatal(err)
				}
				if x.Mark != "" && !strings.Contains(x.Mark, "generator late") {
					t.Errorf("mark %q", x.Mark)
				}
				if x.Blocked[0] != 0 {
					t.Errorf("%v requests were blocked, and none was to be", x.Blocked[0])
				}
				failed += x.Failed[0]
				all += x.Failed[0] + x.Service[0].Count
			}
			if share := failed / all; math.Abs(share-c.share) > .04 {
				t.Errorf("%.3f of %v requests failed, want %v", share, all, c.share)
			}
			total := 0
			for why, n := range b.Failures() {
				total += n
				if !strings.HasSuffix(why, c.failure) {
					t.Errorf("%d failed: %q, want %q", n, why, c.failure)
				}
			}
			if c.share > 0 && float64(total) < failed {
				t.Errorf("%d failures by reason, %v counted", total, failed)
			}
		})
	}
	// A version that is gone is another matter.
	one, two := newShop(t, "one", time.Millisecond), newShop(t, "two", time.Millisecond)
	b := start(t, http.Config{Scenario: deployed(t, one, two, products, "")})
	two.Close()
	x, err := b.Measure(context.Background(), mesh.Load{50}, mesh.Action{0, 1, 0})
	if err != nil {
		t.Fatal(err)
	}
	if x.Failed[0] < 5 || !strings.Contains(x.Mark, "v2 cannot be reached: connection: connect: connection refused") {
		t.Errorf("%v failed; mark %q", x.Failed, x.Mark)
	}
}

// An application that does not answer as it is said to is reported before a run.
func TestPreflight(t *testing.T) {
	one, two := newShop(t, "one", 0), newShop(t, "two", 0)
	gone := newShop(t, "three", 0)
	gone.Close()
	for _, c := range []struct {
		name string
		s    scenario.Scenario
		want []string
	}{
		{"another path", deployed(t, one, two, "[{path: /basket}]", ""), []string{"service shop on node v1 at " + one.URL, "on node v2", "status 404"}},
		{"another status", deployed(t, one, two, "[{path: /product/1, expect: [204]}]", ""), []string{"status 200"}},
		{"no header", deployed(t, one, two, products, "  attribution: header\n  header: X-Pod\n"), []string{"has no header X-Pod with the name of a node"}},
		{"no such node", deployed(t, one, gone, products, ""), []string{"service shop on node v2 at " + gone.URL, "connection refused"}},
		{"no application", scenario.Paper(), []string{"scenario paper has no application"}},
	} {
		_, err := http.New(context.Background(), http.Config{Scenario: c.s})
		for _, words := range c.want {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", c.name, err, words)
			}
		}
	}
	s := deployed(t, one, gone, products, "")
	s.Application.Nodes["v2"] = strings.Replace(gone.URL, "//", "//pat:canary@", 1)
	if _, err := http.New(context.Background(), http.Config{Scenario: s}); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a password: %v", err)
	}
	s = deployed(t, one, two, products, "")
	s.Knobs = append(s.Knobs, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 2})
	if _, err := http.New(context.Background(), http.Config{Scenario: s}); err == nil || !strings.Contains(err.Error(), "knob r1 is of kind replicas") {
		t.Errorf("a knob of replicas: %v", err)
	}
	if _, err := http.New(context.Background(), http.Config{Scenario: deployed(t, one, two, products, ""), Front: "http://x"}); err == nil || !strings.Contains(err.Error(), "a front that runs apart needs") {
		t.Errorf("half a front: %v", err)
	}
}

// A front that runs apart is taken control of, and others who use it are seen.
func TestFrontApart(t *testing.T) {
	one, two := newShop(t, "one", 0), newShop(t, "two", 0)
	s := deployed(t, one, two, products, "")
	front, err := http.NewFront(http.FrontConfig{Scenario: s, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	if _, err := http.New(context.Background(), http.Config{Scenario: s, Front: front.URL(), Control: front.ControlURL(), Token: "wrong"}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("another token: %v", err)
	}
	b := start(t, http.Config{Scenario: s, Front: front.URL(), Control: front.ControlURL(), Token: "secret"})
	if b.URL() != front.URL() {
		t.Errorf("URL %s, want %s", b.URL(), front.URL())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(100 * time.Millisecond)
		if resp, err := nethttp.Get(front.URL() + "/product/5"); err == nil {
			resp.Body.Close()
		}
	}()
	x, err := b.Measure(context.Background(), mesh.Load{50}, mesh.Action{.4, .6, 0})
	<-done
	if err != nil || x.Service[0].Count == 0 || !strings.Contains(x.Mark, "1 requests of others at the front") {
		t.Errorf("%+v, %v", x, err)
	}
}

// A trace that is collected on the application teaches which version is fast,
// whether it is known which node answered or not.
func TestCollectAndLearn(t *testing.T) {
	fast, slow := newShop(t, "one", 2*time.Millisecond), newShop(t, "two", 25*time.Millisecond)
	for _, application := range []string{"", "  attribution: none\n"} {
		s := deployed(t, fast, slow, `[{path: "/product/{id}", values: {id: {min: 1, max: 99}}}]`, application)
		s.Timing = control.Timing{Step: .2, Settle: .05}
		b := start(t, http.Config{Scenario: s})
		path := filepath.Join(t.TempDir(), "trace.csv")
		c := testbed.Collection{Scenario: s, Steps: 24, Seed: 1, Reference: -1, Load: load.Constant{Load: mesh.Load{30}}}
		if _, err := testbed.CollectFile(context.Background(), b, path, c); err != nil {
			t.Fatal(err)
		}
		table, err := trace.Read(path, trace.ReadOptions{Space: s.MustSpace()})
		if err != nil {
			t.Fatal(err)
		}
		m, err := model.Learn(context.Background(), table, model.Config{Forest: forest.Config{Trees: 20, MinLeaf: 2}})
		if err != nil {
			t.Fatal(err)
		}
		mean := func(a mesh.Action) float64 {
			f, err := m.At(mesh.State{Load: mesh.Load{30}})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Set(a); err != nil {
				t.Fatal(err)
			}
			x := mesh.NewMeasurement(s.MustSpace().Layout())
			f.Mean(&x)
			return x.Service[0].Mean
		}
		if a, b := mean(mesh.Action{1, 0, 0}), mean(mesh.Action{0, 1, 0}); !(a < .6*b) {
			t.Errorf("%q: the model has %.4f s of the fast version, %.4f s of the slow one", application, a, b)
		}
	}
}

// The application may speak HTTP/2, and TLS by an authority of its own.
func TestTLS(t *testing.T) {
	var urls []string
	var ca []byte
	var proto atomic.Value
	for range 2 {
		s := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { proto.Store(r.Proto) }))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
		ca = append(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	}
	plain := newShop(t, "one", 0)
	s := deployed(t, plain, plain, "[{path: /}]", "")
	s.Application.Nodes = map[string]string{"v1": urls[0], "v2": urls[1]}
	if _, err := http.New(context.Background(), http.Config{Scenario: s}); err == nil || !strings.Contains(err.Error(), "x509: certificate signed by unknown authority") {
		t.Errorf("an unknown authority: %v", err)
	}
	s.Client = request.Client{CA: string(ca), HTTP: "2"}
	b := start(t, http.Config{Scenario: s})
	x, err := b.Measure(context.Background(), mesh.Load{50}, mesh.Action{.4, .6, 0})
	if err != nil || x.Service[0].Count < 5 || x.Failed[0] != 0 || proto.Load() != "HTTP/2.0" {
		t.Errorf("%+v over %v, %v", x, proto.Load(), err)
	}
}
