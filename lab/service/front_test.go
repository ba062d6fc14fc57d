package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
)

const token = "secret"

// upstream is a node, or a service of a mesh, that answers at once and counts.
type upstream struct {
	name    string
	seconds string // value of service.SecondsHeader; "" for none
	got     atomic.Int64
	header  atomic.Pointer[http.Header] // of the last request
	path    atomic.Pointer[string]
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.got.Add(1)
	u.header.Store(&r.Header)
	u.path.Store(&r.URL.Path)
	w.Header().Set(service.NodeHeader, u.name)
	if u.seconds != "" {
		w.Header().Set(service.SecondsHeader, u.seconds)
	}
	io.WriteString(w, "ok")
}

// upstreams serves one upstream for each name.
func upstreams(t *testing.T, names ...string) (list []*upstream, urls []string) {
	t.Helper()
	for _, name := range names {
		u := &upstream{name: name}
		server := httptest.NewServer(u)
		t.Cleanup(server.Close)
		list, urls = append(list, u), append(urls, server.URL)
	}
	return list, urls
}

func newFront(t *testing.T, cfg service.FrontConfig) *service.Front {
	t.Helper()
	cfg.Token = token
	f, err := service.NewFront(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask makes one request of a handler; the token is left out when it is "".
func ask(h http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// two is the paper's mesh, and its space.
var (
	two      = mesh.New(2, 2)
	twoSpace = mesh.Grid(two, 6)
)

func set(t *testing.T, f *service.Front, space *mesh.Space, a mesh.Action) {
	t.Helper()
	body, err := json.Marshal(service.NewSetting(space, a, true))
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(f, "PUT", "/control", token, string(body)); w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", body, w.Code, w.Body)
	}
}

// Of 10,000 requests, sent by several clients at a time, the front blocks and
// routes the fractions that it was asked for: within four standard deviations
// of a binomial count as independent draws would be, and, as it promises for
// the long run, within one block of 20 decisions. Fractions 0 and 1 are exact.
func TestFrontFractions(t *testing.T) {
	const requests, clients = 10_000, 8
	wide := mesh.New(2, 3)
	for _, c := range []struct {
		m       mesh.Mesh
		service int
		block   float64
		route   []float64
	}{
		{two, 0, .2, []float64{.4, .6}},
		{two, 1, .2, []float64{.4, .6}},
		{two, 0, 0, []float64{1, 0}},
		{two, 0, 1, []float64{.4, .6}},
		{two, 1, .8, []float64{0, 1}},
		{wide, 1, .37, []float64{.125, .25, .625}},
	} {
		t.Run(fmt.Sprintf("b=%v p=%v", c.block, c.route), func(t *testing.T) {
			nodes, urls := upstreams(t, c.m.NodeNames()...)
			f := newFront(t, service.FrontConfig{Mesh: c.m, Nodes: urls, Seed: 5})
			space := mesh.Grid(c.m, 6)
			a := space.Default()
			block := c.m.M() * c.m.N()
			a[block+1-c.service] = .5 // the other service's blocking is not this one's
			a[block+c.service] = c.block
			copy(a[c.service*c.m.N():], c.route)
			set(t, f, space, a)
			path := fmt.Sprintf("/%s/items/1", c.m.ServiceNames()[c.service])
			var blocked, served atomic.Int64
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for range requests / clients {
						w := ask(f, "GET", path, "", "")
						switch {
						case w.Code == http.StatusOK:
							served.Add(1)
						case w.Code == http.StatusTooManyRequests && w.Header().Get(service.FailureHeader) == cause.Blocked:
							blocked.Add(1)
						default:
							t.Errorf("%d %s", w.Code, w.Body)
						}
					}
				})
			}
			wg.Wait()
			within := func(what string, got int64, n int64, p float64) {
				t.Logf("%s: %d of %d, asked for %v", what, got, n, p)
				distance := math.Abs(float64(got) - float64(n)*p)
				if distance > 4*math.Sqrt(float64(n)*p*(1-p)) {
					t.Errorf("%s: %d of %d is not %v within binomial error", what, got, n, p)
				}
				if distance > 20 {
					t.Errorf("%s: %d of %d is off by more than a block of 20", what, got, n)
				}
			}
			within("blocked", blocked.Load(), requests, c.block)
			sum := int64(0)
			for j, u := range nodes {
				within(u.name, u.got.Load(), requests-blocked.Load(), c.route[j])
				sum += u.got.Load()
			}
			if sum != served.Load() || served.Load()+blocked.Load() != requests {
				t.Errorf("%d requests: %d blocked, %d served, %d at nodes", requests, blocked.Load(), served.Load(), sum)
			}
			metrics := ask(f, "GET", "/metrics", "", "").Body.String()
			if n := blocked.Load(); n > 0 && !strings.Contains(metrics, fmt.Sprintf("meshbench_front_requests_total{service=%q,to=\"blocked\"} %d\n", c.m.ServiceNames()[c.service], n)) {
				t.Errorf("metrics do not count %d blocked requests:\n%s", n, metrics)
			}
		})
	}
}

// The order in which requests are blocked and routed follows from the seed.
func TestFrontSeed(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	order := func(seed string) string {
		body := `{"seed": ` + seed + `, "block": {"service2": 0.4}}`
		if w := ask(f, "PUT", "/control", token, body); w.Code != http.StatusOK {
			t.Fatal(w.Body)
		}
		var b strings.Builder
		for range 100 {
			w := ask(f, "GET", "/service2/items/3", "", "")
			fmt.Fprint(&b, w.Code, w.Header().Get(service.NodeHeader), " ")
		}
		return b.String()
	}
	first, other := order("7"), order("8")
	if first == other {
		t.Error("two seeds gave the same order")
	}
	if again := order("7"); again != first {
		t.Error("one seed gave two orders")
	}
}

// What the control endpoint refuses, it says why in one line, and nothing is
// changed.
func TestControlRefuses(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	set(t, f, twoSpace, mesh.Action{.25, .75, 1, 0, .1, .2})
	kept := fmt.Sprint(f.Setting())
	const good = `{"block": {"service1": 0.9}}`
	for _, c := range []struct {
		name, method, token, body string
		code                      int
		want                      string
	}{
		{"no token", "PUT", "", good, 401, "Authorization: Bearer TOKEN"},
		{"wrong token", "PUT", "secrets", good, 401, "Authorization: Bearer TOKEN"},
		{"reading without token", "GET", "", "", 401, "Authorization: Bearer TOKEN"},
		{"other method", "POST", token, good, 405, "Method Not Allowed"},
		{"empty", "PUT", token, "", 400, `{"block": {"service1": 0.2}`},
		{"cut short", "PUT", token, good[:12], 400, "unexpected EOF"},
		{"not JSON", "PUT", token, "block=0.2", 400, "invalid character"},
		{"other type", "PUT", token, `{"block": {"service1": "half"}}`, 400, "string"},
		{"two objects", "PUT", token, good + good, 400, "more than one JSON object"},
		{"unknown field", "PUT", token, `{"blocks": {"service1": 0.2}}`, 400, `unknown field "blocks"`},
		{"unknown service", "PUT", token, `{"block": {"service1": 0.9, "service3": 0.2}}`, 400, `unknown service "service3"; the mesh has service1, service2`},
		{"unknown call", "PUT", token, `{"route": {"service1/x": {"node1": 1}}}`, 400, `unknown call "service1/x"; accepted: service1, service2`},
		{"unknown node", "PUT", token, `{"route": {"service1": {"node3": 1}}}`, 400, `unknown node "node3"`},
		{"blocking above 1", "PUT", token, `{"block": {"service1": 0.9, "service2": 1.5}}`, 400, "block of service2: 1.5 is outside [0, 1]"},
		{"blocking below 0", "PUT", token, `{"block": {"service1": -0.1}}`, 400, "block of service1: -0.1 is outside"},
		{"weights short of 1", "PUT", token, `{"block": {"service2": 0.9}, "route": {"service1": {"node1": 0.5}}}`, 400, "route of service1: the weights [0.5 0] sum to 0.5, not 1"},
		{"negative weight", "PUT", token, `{"route": {"service1": {"node1": -1, "node2": 2}}}`, 400, "route of service1: -1 is outside"},
		{"oversized", "PUT", token, `{"block": {"service1": 0.9` + strings.Repeat(" ", 64<<10) + `}}`, 413, "at most 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(f, c.method, "/control", c.token, c.body)
			text := w.Body.String()
			if w.Code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("%d %q, want %d and %q", w.Code, text, c.code, c.want)
			}
			if strings.Count(text, "\n") != 1 {
				t.Errorf("not one line: %q", text)
			}
			if have := fmt.Sprint(f.Setting()); have != kept {
				t.Errorf("the setting is %v, was %v", have, kept)
			}
		})
	}
}

// A setting changes what it names; the rest stays.
func TestControlMerges(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	for _, c := range []struct {
		body string
		want mesh.Action
	}{
		{`{"block": {"service2": 0.6}}`, mesh.Action{.5, .5, .5, .5, 0, .6}},
		{`{"route": {"service1": {"node2": 1}}}`, mesh.Action{0, 1, .5, .5, 0, .6}},
		{`{"block": {"service1": 1}, "route": {"service2": {"node1": 0.2, "node2": 0.8}}}`, mesh.Action{0, 1, .2, .8, 1, .6}},
		{`{}`, mesh.Action{0, 1, .2, .8, 1, .6}},
	} {
		w := ask(f, "PUT", "/control", token, c.body)
		var shown service.Setting
		if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil {
			t.Fatalf("%s: %d %s", c.body, w.Code, w.Body)
		}
		want := service.NewSetting(twoSpace, c.want, true)
		if have := f.Setting(); fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("%s: the setting is %v, want %v", c.body, have, want)
		}
		if !maps.Equal(shown.Block, want.Block) || fmt.Sprint(shown.Route) != fmt.Sprint(want.Route) {
			t.Errorf("%s: the reply shows %v", c.body, shown)
		}
	}
}

// The controller reports a front that did not do as it was told.
func TestController(t *testing.T) {
	ctx := context.Background()
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls})
	a := mesh.Action{.2, .8, 1, 0, .4, 0}
	fixed := func(code int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, body)
		})
	}
	for _, c := range []struct {
		name  string
		front http.Handler
		token string
		want  string // part of the error; "" for none
	}{
		{"obeys", f, token, ""},
		{"wrong token", f, "guess", "401 Unauthorized: this needs the header"},
		{"ignores blocking", fixed(200, `{"block": {"service1": 0}, "route": {"service1": {"node1": 0.2, "node2": 0.8}}}`), token,
			"blocking of service1 is 0 after it was set to 0.4"},
		{"ignores weights", fixed(200, `{"block": {"service1": 0.4}, "route": {"service1": {"node1": 0.5, "node2": 0.5}}}`), token,
			"weight of service1 on node1 is 0.5 after it was set to 0.2"},
		{"is something else", fixed(200, "<html>"), token, `answered "<html>"`},
		{"is out of order", fixed(500, "no memory"), token, "500 Internal Server Error: no memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.front)
			defer server.Close()
			err := (&service.Controller{URL: server.URL, Token: c.token, Space: twoSpace, Weights: true}).Apply(ctx, a, nil)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if got, want := f.Setting(), service.NewSetting(twoSpace, a, true); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the front has %v, want %v", got, want)
	}
	if err := (&service.Controller{URL: "http://127.0.0.1:1", Token: token, Space: twoSpace}).Apply(ctx, a, nil); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("no front: error %v", err)
	}
}

// A front whose mesh routes blocks, and leaves weights alone.
func TestFrontUpstreams(t *testing.T) {
	services, urls := upstreams(t, "a", "b")
	f := newFront(t, service.FrontConfig{Mesh: two, Upstreams: urls})
	if w := ask(f, "GET", "/service2/items/9", "", ""); w.Code != 200 || *services[1].path.Load() != "/service2/items/9" || services[0].got.Load() != 0 {
		t.Errorf("%d %s; the upstream of service1 got %d requests", w.Code, w.Body, services[0].got.Load())
	}
	w := ask(f, "PUT", "/control", token, `{"block": {"service2": 1}, "route": {"service1": {"node1": 1}}}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "leaves routing to the mesh") || f.Setting().Block["service2"] != 0 {
		t.Errorf("weights: %d %s, blocking %v", w.Code, w.Body, f.Setting().Block)
	}
	if w := ask(f, "PUT", "/control", token, `{"block": {"service2": 1}}`); w.Code != 200 || strings.Contains(w.Body.String(), "route") {
		t.Errorf("blocking: %d %s", w.Code, w.Body)
	}
	if w := ask(f, "GET", "/service2/items/9", "", ""); w.Code != 429 {
		t.Errorf("blocking 1 let a request through: %d", w.Code)
	}
	// A probe goes through all the same, marked, and without the token.
	for _, c := range []struct {
		path, token string
		code        int
	}{{"/probe/service2", token, 200}, {"/probe/service2", "", 401}, {"/probe/service9", token, 404}} {
		if w := ask(f, "GET", c.path, c.token, ""); w.Code != c.code {
			t.Errorf("%s: %d %s, want %d", c.path, w.Code, w.Body, c.code)
		}
	}
	h := *services[1].header.Load()
	if *services[1].path.Load() != "/healthz" || h.Get(service.ProbeHeader) == "" || h.Get("Authorization") != "" {
		t.Errorf("the probe came as %s with %v", *services[1].path.Load(), h)
	}
	// A front that routes has no probe, which would tell nothing.
	_, nodes := upstreams(t, "node1", "node2")
	if w := ask(newFront(t, service.FrontConfig{Mesh: two, Nodes: nodes}), "GET", "/probe/service1", token, ""); w.Code != 404 {
		t.Errorf("/probe of a front that routes: %d", w.Code)
	}
}

func TestFrontPages(t *testing.T) {
	_, urls := upstreams(t, "node1", "node2")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls, Items: []int{1000, 2000}})
	for _, c := range []struct {
		path string
		code int
		want []string
	}{
		{"/", 200, []string{"<form data-service=\"service1\">", "max=\"999\"", "max=\"1999\"", "service2"}},
		{"/healthz", 200, []string{"ok"}},
		{"/readyz", 200, []string{"ok"}},
		{"/metrics", 200, nil},
		{"/favicon.ico", 404, nil},
		{"/service3/items/1", 404, []string{`unknown service "service3"; the mesh has service1, service2`}},
		{"/service1/items/", 404, nil},
	} {
		w := ask(f, "GET", c.path, "", "")
		if w.Code != c.code {
			t.Errorf("%s: %d, want %d", c.path, w.Code, c.code)
		}
		for _, s := range c.want {
			if !strings.Contains(w.Body.String(), s) {
				t.Errorf("%s lacks %q:\n%s", c.path, s, w.Body)
			}
		}
	}
}

// A node that does not answer is named, and the other goes on.
func TestFrontNodeDown(t *testing.T) {
	_, urls := upstreams(t, "node1")
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: append(urls, "http://127.0.0.1:1")})
	codes := map[string]int{}
	for range 20 {
		w := ask(f, "GET", "/service1/items/1", "", "")
		codes[fmt.Sprint(w.Code, " ", w.Header().Get(service.NodeHeader), " ", w.Header().Get(service.FailureHeader))]++
	}
	if want := map[string]int{"200 node1 ": 10, "502 node2 node": 10}; !maps.Equal(codes, want) {
		t.Errorf("replies %v, want %v", codes, want)
	}
}

// A reply leaves the front when the node's own time and the link's have passed
// since the request came, and no earlier.
func TestFrontLink(t *testing.T) {
	nodes, urls := upstreams(t, "node1", "node2")
	for _, u := range nodes {
		u.seconds = "0.020"
	}
	f := newFront(t, service.FrontConfig{Mesh: two, Nodes: urls, Link: .03})
	for range 5 {
		begin := time.Now()
		ask(f, "GET", "/service1/items/1", "", "")
		if took := time.Since(begin); took < 50*time.Millisecond {
			t.Errorf("a reply came after %v, 50 ms at the earliest", took)
		}
	}
}

func TestNewFrontErrors(t *testing.T) {
	urls := []string{"http://127.0.0.1:81", "http://127.0.0.1:82"}
	chain := mesh.Mesh{Nodes: two.Nodes, Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
		{{Microservice: "web", Nodes: []string{"node1"}}}, {{Microservice: "store", Nodes: []string{"node2"}}}}}}}
	for _, c := range []struct {
		cfg  service.FrontConfig
		want string
	}{
		{service.FrontConfig{Mesh: two, Nodes: urls}, "needs a token"},
		{service.FrontConfig{Token: token, Nodes: urls}, "no service; a mesh has at least one"},
		{service.FrontConfig{Mesh: two, Token: token}, "a URL for each of 2 nodes"},
		{service.FrontConfig{Mesh: two, Token: token, Nodes: urls[:1]}, "a URL for each of 2 nodes"},
		{service.FrontConfig{Mesh: two, Token: token, Nodes: urls, Upstreams: urls}, "or for each of 2 microservices"},
		{service.FrontConfig{Mesh: two, Token: token, Nodes: []string{urls[0], "node2:81"}}, `"node2:81" is not the URL`},
		{service.FrontConfig{Mesh: chain, Token: token, Nodes: urls}, "the number of items of each of 2 microservices to make the calls of shop; it has 0"},
		{service.FrontConfig{Mesh: chain, Token: token, Nodes: urls, Items: []int{1, 0}}, "a microservice of 0 items"},
	} {
		if _, err := service.NewFront(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want one with %q", c.cfg, err, c.want)
		}
	}
}
