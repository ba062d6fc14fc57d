package service

import (
	"context"
	"crypto/subtle"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/split"
)

// FrontConfig describes the front node.
type FrontConfig struct {
	Mesh mesh.Mesh
	// Nodes has the base URL of each processing node, for a front that routes
	// by weight itself.
	Nodes []string
	// Upstreams has the base URL of each service instead, for a mesh that
	// routes: the front then only blocks, and weights are refused.
	Upstreams []string
	Token     string // that /control asks for; it must not be empty
	Seed      uint64 // of the order in which requests are blocked and routed
	// Link is the emulated time of a request on the network, to the node and
	// back, in real s: a reply leaves the front when the node's own time and
	// Link have passed since the request came, or later where the real network
	// took longer. It keeps the machine's speed and noise out of the delays.
	// Default 0, no emulation.
	Link float64
	// Items is the number of items of each service, for the page only.
	Items []int
}

// Front is the front node, which is also the responder.
//
//	GET /                        a page to ask for items by hand
//	GET /{service}/items/{key}   429 for the blocked share, else a node's reply
//	GET, PUT /control            the Setting in force; needs the token
//	GET /probe/{service}         where the mesh routes: health of a node that it chooses, never blocked; needs the token
//	GET /healthz, /readyz        alive
//	GET /metrics                 Prometheus
//
// The blocked share and the weights are exact in the long run.
type Front struct {
	cfg   FrontConfig
	mux   *http.ServeMux
	proxy []*httputil.ReverseProxy // per node, or per service where the mesh routes

	mu     sync.Mutex
	action mesh.Action
	block  []*split.Splitter
	route  []*split.Splitter

	timers   timers
	requests *prometheus.CounterVec
}

// NewFront returns a front that blocks nothing and spreads the load evenly.
func NewFront(cfg FrontConfig) (*Front, error) {
	m, n := cfg.Mesh.M(), cfg.Mesh.N()
	if cfg.Token == "" {
		return nil, errors.New("service: the front needs a token for its control endpoint")
	}
	targets, want := cfg.Nodes, n
	if cfg.Upstreams != nil {
		targets, want = cfg.Upstreams, m
	}
	if len(targets) != want || cfg.Upstreams != nil && cfg.Nodes != nil {
		return nil, fmt.Errorf("service: the front needs a URL for each of %d nodes, or for each of %d services", n, m)
	}
	f := &Front{cfg: cfg, mux: http.NewServeMux(), action: mesh.Action{Route: make([]float64, m*n), Block: make([]float64, m)}}
	// One connection for each request under way: replies are never waited for
	// in line, whatever the load.
	transport := &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute, DisableCompression: true}
	for k, target := range targets {
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("service: front: %q is not the URL of a node or service, such as http://127.0.0.1:8081", target)
		}
		f.proxy = append(f.proxy, f.newProxy(u, transport, k))
	}
	for i := range m {
		f.block = append(f.block, split.New(2, 0))
		f.route = append(f.route, split.New(n, 0))
		for j := range n {
			f.action.Route[i*n+j] = 1 / float64(n)
		}
	}
	f.apply(f.action, &cfg.Seed)
	f.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meshbench_front_requests_total",
		Help: "Requests by service and where they went: a node, blocked, or mesh."}, []string{"service", "to"})
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.requests)
	healthy := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") }
	f.mux.HandleFunc("GET /{$}", f.page)
	f.mux.HandleFunc("GET /{service}/items/{key}", f.item)
	f.mux.HandleFunc("GET /control", f.control)
	f.mux.HandleFunc("PUT /control", f.control)
	if cfg.Upstreams != nil {
		f.mux.HandleFunc("GET /probe/{service}", f.probe)
	}
	f.mux.HandleFunc("GET /healthz", healthy)
	f.mux.HandleFunc("GET /readyz", healthy)
	f.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return f, nil
}

func (f *Front) newProxy(target *url.URL, transport http.RoundTripper, k int) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			f.hold(r)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if f.cfg.Upstreams == nil {
				w.Header().Set(NodeHeader, f.cfg.Mesh.NodeNames()[k])
			}
			w.Header().Set(FailureHeader, FailureNode)
			http.Error(w, "the node does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.mux.ServeHTTP(w, r) }

func (f *Front) item(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("service")
	i, err := f.cfg.Mesh.Service(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	k, blocked := f.decide(i)
	switch {
	case blocked:
		f.requests.WithLabelValues(name, "blocked").Inc()
		w.Header().Set(FailureHeader, FailureBlocked)
		http.Error(w, "too many requests of "+name, http.StatusTooManyRequests)
		return
	case f.cfg.Upstreams != nil:
		f.requests.WithLabelValues(name, "mesh").Inc()
	default:
		f.requests.WithLabelValues(name, f.cfg.Mesh.NodeNames()[k]).Inc()
	}
	if f.cfg.Link > 0 {
		r = r.WithContext(context.WithValue(r.Context(), arrival{}, time.Now()))
	}
	f.proxy[k].ServeHTTP(w, r)
}

// ProbeHeader marks the requests of /probe, so that a mesh which blocks can let
// them through.
const ProbeHeader = "Meshbench-Probe"

// probe asks the mesh for the health of a node of the service. The reply shows
// by its headers which routing is in force, and costs the node next to nothing.
func (f *Front) probe(w http.ResponseWriter, r *http.Request) {
	if !f.authorised(r) {
		refuse(w)
		return
	}
	i, err := f.cfg.Mesh.Service(r.PathValue("service"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	r = r.Clone(r.Context())
	r.URL.Path = "/healthz"
	r.Header.Del("Authorization") // the nodes have no business with it
	r.Header.Set(ProbeHeader, "1")
	f.proxy[i].ServeHTTP(w, r)
}

// arrival is the context's key of the time at which a request came.
type arrival struct{}

// hold waits until a reply is to leave the front.
func (f *Front) hold(r *http.Response) {
	came, ok := r.Request.Context().Value(arrival{}).(time.Time)
	if !ok {
		return
	}
	// A reply without the header, such as an error's, took the node no time.
	seconds, _ := strconv.ParseFloat(r.Header.Get(SecondsHeader), 64)
	timer, err := f.timers.get()
	if err != nil {
		return // out of file descriptors: the reply leaves early
	}
	defer f.timers.put(timer)
	timer.Until(came.Add(time.Duration((seconds + f.cfg.Link) * 1e9)))
}

// timers keeps the timers that replies are held with.
type timers struct{ pool sync.Pool }

func (t *timers) get() (*pace.Timer, error) {
	if timer, ok := t.pool.Get().(*pace.Timer); ok {
		return timer, nil
	}
	return pace.New(context.Background())
}

func (t *timers) put(timer *pace.Timer) { t.pool.Put(timer) }

// decide is where a request of service i goes: to which proxy, or nowhere.
func (f *Front) decide(i int) (k int, blocked bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.block[i].Next() == 1 {
		return 0, true
	}
	if f.cfg.Upstreams != nil {
		return i, false
	}
	return f.route[i].Next(), false
}

// change puts a setting into force between two requests, or reports what is
// wrong with it and changes nothing.
func (f *Front) change(s Setting) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cfg.Upstreams != nil && s.Route != nil {
		return errors.New("route: this front leaves routing to the mesh")
	}
	a, err := s.merge(f.cfg.Mesh, f.action.Clone())
	if err != nil {
		return err
	}
	f.apply(a, s.Seed)
	return nil
}

func (f *Front) apply(a mesh.Action, seed *uint64) {
	f.action = a
	n := f.cfg.Mesh.N()
	for i := range f.block {
		f.block[i].Set(1-a.Block[i], a.Block[i])
		f.route[i].Set(a.Route[i*n : i*n+n]...)
		if seed != nil {
			f.block[i].Reset(*seed + uint64(2*i))
			f.route[i].Reset(*seed + uint64(2*i+1))
		}
	}
}

// Action is the action in force.
func (f *Front) Action() mesh.Action {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.action.Clone()
}

// authorised compares in constant time.
func (f *Front) authorised(r *http.Request) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+f.cfg.Token)) == 1
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is the web user interface: it asks for an item and shows the reply.
func (f *Front) page(w http.ResponseWriter, r *http.Request) {
	type row struct {
		Name string
		Last string
	}
	var rows []row
	for i, name := range f.cfg.Mesh.ServiceNames() {
		last := ""
		if i < len(f.cfg.Items) {
			last = strconv.Itoa(f.cfg.Items[i] - 1)
		}
		rows = append(rows, row{name, last})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	pageTemplate.Execute(w, rows)
}
