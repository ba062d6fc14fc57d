package service_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/call"
	"github.com/meshbench/meshbench/lab/service/cause"
)

// graph is a service that makes one call and then two in parallel, and one of
// a single call to a microservice of another name.
var graph = mesh.Mesh{
	Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}},
	Services: []mesh.Service{
		{Name: "order", Stages: []mesh.Stage{
			{{Microservice: "web", Nodes: []string{"a", "b"}}},
			{{Microservice: "users", Nodes: []string{"c"}}, {Microservice: "stock", Nodes: []string{"b", "c"}}},
		}},
		{Name: "look", Stages: []mesh.Stage{{{Microservice: "stock", Nodes: []string{"b", "c"}}}}},
	},
}

// recorder is a node that answers as it is told and keeps what it was asked.
type recorder struct {
	name   string
	answer func(w http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	asked  []*http.Request
}

func (n *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.asked = append(n.asked, r)
	n.mu.Unlock()
	w.Header().Set(service.NodeHeader, n.name)
	if n.answer != nil {
		n.answer(w, r)
		return
	}
	fmt.Fprintf(w, `{"from":%q}`+"\n", n.name)
}

func (n *recorder) paths() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for _, r := range n.asked {
		list = append(list, r.URL.Path+" for "+r.Header.Get(service.ServiceHeader))
	}
	slices.Sort(list)
	return list
}

// graphFront is a front of graph with a recorder for each node.
func graphFront(t *testing.T, cfg service.FrontConfig) (*service.Front, []*recorder) {
	t.Helper()
	var nodes []*recorder
	cfg.Mesh, cfg.Items = graph, []int{100, 30, 7} // web, users, stock
	for _, name := range graph.NodeNames() {
		n := &recorder{name: name}
		server := httptest.NewServer(n)
		t.Cleanup(server.Close)
		nodes = append(nodes, n)
		cfg.Nodes = append(cfg.Nodes, server.URL)
	}
	return newFront(t, cfg), nodes
}

// A request of several calls passes its stages in order; each call goes where
// its own weights say, with an item that the key draws and the request's trace.
func TestFrontPath(t *testing.T) {
	f, nodes := graphFront(t, service.FrontConfig{})
	body := `{"route": {"order/web": {"b": 1}, "order/stock": {"b": 1}, "look": {"c": 1}}}`
	if w := ask(f, "PUT", "/control", token, body); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest("GET", "/order/items/1234", nil)
	trace := map[string]string{"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Request-Id": "7", "Tracestate": "x=1"}
	for k, v := range trace {
		r.Header.Set(k, v)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if got, want := w.Body.String(), `{"service":"order","calls":[{"from":"b"},{"from":"c"},{"from":"b"}]}`+"\n"; w.Code != 200 || got != want {
		t.Errorf("%d %s, want %s", w.Code, got, want)
	}
	calls, err := call.Parse(w.Header().Get(service.CallsHeader))
	if err != nil || len(calls) != 3 {
		t.Fatalf("calls %q: %v", w.Header().Get(service.CallsHeader), err)
	}
	for k, want := range []call.Call{{Microservice: "web", Node: "b"}, {Microservice: "users", Node: "c"}, {Microservice: "stock", Node: "b"}} {
		if c := calls[k]; c.Microservice != want.Microservice || c.Node != want.Node || !(c.Seconds > 0) {
			t.Errorf("call %d is %+v, want %+v", k, c, want)
		}
	}
	for k, want := range [][]string{nil, {"/stock/items/2 for order", "/web/items/34 for order"}, {"/users/items/4 for order"}} { // 1234 modulo 7, 100, 30
		if got := nodes[k].paths(); !slices.Equal(got, want) {
			t.Errorf("node %s was asked for %v, want %v", nodes[k].name, got, want)
		}
		for _, r := range nodes[k].asked {
			for h, v := range trace {
				if r.Header.Get(h) != v {
					t.Errorf("node %s: %s is %q, want %q", nodes[k].name, h, r.Header.Get(h), v)
				}
			}
			if r.Header.Get("Authorization") != "" {
				t.Errorf("node %s got the front's token", nodes[k].name)
			}
		}
	}
	// A service of one call is passed through, to the microservice's name.
	w = ask(f, "GET", "/look/items/5", "", "")
	if got := nodes[2].paths(); w.Body.String() != `{"from":"c"}`+"\n" || w.Header().Get(service.NodeHeader) != "c" || w.Header().Get(service.CallsHeader) != "" || !slices.Contains(got, "/stock/items/5 for look") {
		t.Errorf("%d %s %v; node c was asked for %v", w.Code, w.Body, w.Header(), got)
	}
	if w := ask(f, "GET", "/order/items/-1", "", ""); w.Code != 404 || !strings.Contains(w.Body.String(), `a whole number from 0 on, not "-1"`) {
		t.Errorf("key -1: %d %s", w.Code, w.Body)
	}
	metrics := ask(f, "GET", "/metrics", "", "").Body.String()
	if want := `meshbench_front_calls_total{microservice="stock",service="order",to="b"} 1`; !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %q", want)
	}
}

// A call that fails ends the request with its reason and node: what is called
// beside it is done, what would follow is not, and what was answered is told.
func TestFrontPathFailure(t *testing.T) {
	fail := func(code int, why string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if why != "" {
				w.Header().Set(service.FailureHeader, why)
			}
			http.Error(w, "no", code)
		}
	}
	for _, c := range []struct {
		name       string
		node       int
		answer     func(http.ResponseWriter, *http.Request)
		code       int
		failure    string
		calls      string // microservices that were answered
		neverAsked int
	}{
		{"first stage", 1, fail(503, cause.Queue), 503, cause.Queue, "", 2},
		{"beside another", 2, fail(500, cause.Database), 500, cause.Database, "web stock", 0},
		{"not ours", 2, fail(404, ""), 404, "status 404", "web stock", 0},
		{"not blocked", 2, fail(429, ""), 502, "status 429", "web stock", 0},
		{"a redirect", 2, fail(302, ""), 502, "status 302", "web stock", 0},
		{"hangs up", 2, func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, 502, cause.Node, "web stock", 0},
		{"too long", 2, func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(zeros{}, 17<<20)) }, 502, cause.Node, "web stock", 0},
		{"too slow", 2, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, cause.Timeout, "web stock", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, nodes := graphFront(t, service.FrontConfig{Timeout: 2})
			if w := ask(f, "PUT", "/control", token, `{"route": {"order/web": {"b": 1}, "order/stock": {"b": 1}}}`); w.Code != 200 {
				t.Fatal(w.Body)
			}
			nodes[c.node].answer = c.answer
			w := ask(f, "GET", "/order/items/3", "", "")
			if w.Code != c.code || w.Header().Get(service.FailureHeader) != c.failure || w.Header().Get(service.NodeHeader) != nodes[c.node].name {
				t.Errorf("%d %q %q %s, want %d %q of %s", w.Code, w.Header().Get(service.FailureHeader), w.Header().Get(service.NodeHeader), w.Body, c.code, c.failure, nodes[c.node].name)
			}
			var got []string
			calls, err := call.Parse(w.Header().Get(service.CallsHeader))
			for _, c := range calls {
				got = append(got, c.Microservice)
			}
			if err != nil || strings.Join(got, " ") != c.calls {
				t.Errorf("calls %v (%v), want %s", got, err, c.calls)
			}
			if n := len(nodes[c.neverAsked].paths()); n > 0 {
				t.Errorf("node %s was asked %d times", nodes[c.neverAsked].name, n)
			}
		})
	}
	// A node that is gone is named, too.
	f := newFront(t, service.FrontConfig{Mesh: graph, Nodes: slices.Repeat([]string{"http://127.0.0.1:1"}, 3), Items: []int{1, 1, 1}})
	w := ask(f, "GET", "/order/items/0", "", "")
	if n := w.Header().Get(service.NodeHeader); w.Code != 502 || w.Header().Get(service.FailureHeader) != cause.Node || n != "a" && n != "b" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A stage lasts as long as the slowest of its nodes' times and the link once;
// stages follow each other.
func TestFrontPathLink(t *testing.T) {
	f, nodes := graphFront(t, service.FrontConfig{Link: .02})
	seconds := map[string]string{"web": "0.010", "users": "0.030", "stock": "0.005"}
	for _, n := range nodes {
		n.answer = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(service.SecondsHeader, seconds[strings.Split(r.URL.Path, "/")[1]])
			io.WriteString(w, "{}")
		}
	}
	for range 5 {
		begin := time.Now()
		w := ask(f, "GET", "/order/items/3", "", "")
		if took := time.Since(begin); took < 80*time.Millisecond {
			t.Errorf("a reply came after %v, 30 ms and 50 ms at the earliest", took)
		}
		calls, err := call.Parse(w.Header().Get(service.CallsHeader))
		if err != nil || len(calls) != 3 {
			t.Fatal(err, calls)
		}
		for k, least := range []float64{.03, .05, .025} {
			if calls[k].Seconds < least-1e-6 {
				t.Errorf("%s took %v s, at least %v", calls[k].Microservice, calls[k].Seconds, least)
			}
		}
	}
}

// Where the mesh routes, calls go to their microservice's upstream, marked with
// the service, as the probes of each call are.
func TestFrontPathUpstreams(t *testing.T) {
	l := graph.Layout()
	var services []*recorder
	var urls []string
	for _, name := range l.Microservices {
		n := &recorder{name: "node of " + name}
		server := httptest.NewServer(n)
		t.Cleanup(server.Close)
		services, urls = append(services, n), append(urls, server.URL)
	}
	f := newFront(t, service.FrontConfig{Mesh: graph, Upstreams: urls, Items: []int{10, 10, 10}})
	w := ask(f, "GET", "/order/items/12", "", "")
	calls, err := call.Parse(w.Header().Get(service.CallsHeader))
	if w.Code != 200 || err != nil || len(calls) != 3 || calls[1].Node != "node of users" {
		t.Errorf("%d %s: %v %v", w.Code, w.Body, calls, err)
	}
	ask(f, "GET", "/look/items/4", "", "")
	if got := services[2].paths(); fmt.Sprint(got) != "[/stock/items/2 for order /stock/items/4 for look]" {
		t.Errorf("stock was asked for %v", got)
	}
	for c := range l.Calls {
		if w := ask(f, "GET", service.ProbePath(l, c), token, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", service.ProbePath(l, c), w.Code, w.Body)
		}
	}
	if got := services[2].paths(); fmt.Sprint(got) != "[/healthz for look /healthz for order /stock/items/2 for order /stock/items/4 for look]" {
		t.Errorf("stock was asked for %v", got)
	}
	if w := ask(f, "GET", "/probe/order", token, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "accepted: order/web, order/users, order/stock, look") {
		t.Errorf("probe of a service of several calls: %d %s", w.Code, w.Body)
	}
}

// Calls are named alike in settings that are written and read.
func TestSettingOfCalls(t *testing.T) {
	space := mesh.Grid(graph, 3)
	f, _ := graphFront(t, service.FrontConfig{})
	a := space.Action(nil, []int{1, 0, 2, 0, 1, 2})
	set(t, f, space, a)
	want, err := json.Marshal(service.NewSetting(space, a, true))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(ask(f, "GET", "/control", token, "").Body.String()); got != string(want) {
		t.Errorf("the front has %s, want %s", got, want)
	}
	for body, text := range map[string]string{
		`{"route": {"order": {"a": 1}}}`:              `service "order" makes more than one call; accepted: order/web, order/users, order/stock, look`,
		`{"route": {"order/web": {"c": 1}}}`:          `route of order/web: node "c" does not serve it`,
		`{"route": {"order/web": {"a": 0.5}}}`:        "sum to 0.5, not 1",
		`{"route": {"look/stock": {"b": 2, "c":-1}}}`: "is outside [0, 1]",
	} {
		if w := ask(f, "PUT", "/control", token, body); w.Code != 400 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d %s, want %q", body, w.Code, w.Body, text)
		}
	}
}

// Requests of others than the run's generator, and for what is not there, are
// counted from one action to the next.
func TestFrontStrangers(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	server := httptest.NewServer(f)
	defer server.Close()
	c := &service.Controller{URL: server.URL, Token: token, Space: twoSpace, Weights: true, Run: "mine"}
	get := func(path, run string) {
		r, _ := http.NewRequest("GET", server.URL+path, nil)
		if run != "" {
			r.Header.Set(service.RunHeader, run)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	ctx := t.Context()
	get("/service1/items/1", "") // before a run nobody is a stranger
	for range 2 {
		if err := c.Apply(ctx, twoSpace.Default(), nil); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/service1/items/1", "/healthz", "/metrics", "/"} {
			get(path, "mine")
		}
		if s, err := c.Strangers(ctx); s != "" || err != nil {
			t.Errorf("%q, %v; want none", s, err)
		}
		get("/service1/items/1", "")
		get("/service2/items/1", "theirs")
		get("/wp-login.php", "")
		if s, err := c.Strangers(ctx); s != "3 requests of others at the front" || err != nil {
			t.Errorf("%q, %v; want 3", s, err)
		}
	}
}
