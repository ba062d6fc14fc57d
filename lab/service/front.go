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
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/service/split"
)

// FrontConfig describes the front node.
type FrontConfig struct {
	Mesh mesh.Mesh
	// Nodes has the base URL of each processing node, for a front that routes
	// by weight itself.
	Nodes []string
	// Upstreams has the base URL of each of the layout's microservices instead,
	// for a mesh that routes: the front then only blocks, and weights are refused.
	// Requests have the service's name in ServiceHeader, so that a mesh can route
	// the calls of each service in its own way.
	Upstreams []string
	Token     string // that /control asks for; it must not be empty
	Seed      uint64 // of the order in which requests are blocked and routed
	// Link is the emulated time of a stage's requests on the network, to the nodes
	// and back, in real s: a reply counts as come when the node's own time and
	// Link have passed since the stage began, or later where the real network
	// took longer. It keeps the machine's speed and noise out of the delays.
	// Default 0, no emulation.
	Link float64
	// Timeout bounds the whole way of a request, in real s. Default 30; negative
	// means none.
	Timeout float64
	// Items is the number of items of each of the layout's microservices. A front
	// that has services of several calls needs them; others use them for the page
	// only.
	Items []int
	// Sidecar is the base URL of the admin endpoint of the proxy that carries the
	// front's requests, of which those who have the token may read what routes it
	// has. Default none.
	Sidecar string
	// Application, where it is given, makes it the front of an application that
	// is not of this project; see there.
	Application *Application
}

// Front is the front node, which is also the responder.
//
//	GET /                        a page to ask for items by hand
//	GET /{service}/items/{key}   429 for the blocked share, else the reply
//	GET, PUT /control            the Setting in force; needs the token
//	GET /probe/{service}         where the mesh routes: health of a node that it chooses, never blocked; needs the token;
//	                             of a service of several calls with ?microservice=NAME
//	GET /sidecar/routes          Envoy's config dump of the routes of the front's sidecar; needs the token
//	GET /healthz, /readyz        alive
//	GET /metrics                 Prometheus
//
// A service of one call is answered by a node, which the front passes on. For
// any other the front makes the calls of one stage after the other, those of a
// stage in parallel, and joins the nodes' replies; the key is then a number
// that draws an item of each microservice. A call that fails ends the request
// when its stage ends.
//
// The blocked share and the weights are exact in the long run.
//
// The front of an Application passes requests of any path on, and has its own
// endpoints apart, in Control.
type Front struct {
	cfg    FrontConfig
	layout *mesh.Layout
	mux    *http.ServeMux
	names  []string // of the nodes
	base   []*url.URL
	round  http.RoundTripper
	proxy  []*httputil.ReverseProxy // one for each of base: per node, or per microservice where the mesh routes
	match  []*request.Matcher       // of an application: the requests of each service

	mu    sync.Mutex
	force force
	block []*split.Splitter // per service
	route []*split.Splitter // per call

	run       atomic.Pointer[string] // of which requests are not counted as strangers; nil for any
	strangers atomic.Int64

	timers   timers
	requests *prometheus.CounterVec
	calls    *prometheus.CounterVec
}

// NewFront returns a front that blocks nothing and spreads the load evenly.
func NewFront(cfg FrontConfig) (*Front, error) {
	if cfg.Token == "" {
		return nil, errors.New("service: the front needs a token for its control endpoint")
	}
	if err := cfg.Mesh.Validate(); err != nil {
		return nil, fmt.Errorf("service: front: %w", err)
	}
	l := cfg.Mesh.Layout()
	targets, want := cfg.Nodes, cfg.Mesh.N()
	if cfg.Upstreams != nil {
		targets, want = cfg.Upstreams, len(l.Microservices)
	}
	if len(targets) != want || cfg.Upstreams != nil && cfg.Nodes != nil {
		return nil, fmt.Errorf("service: the front needs a URL for each of %d nodes, or for each of %d microservices", cfg.Mesh.N(), len(l.Microservices))
	}
	for i, name := range cfg.Mesh.ServiceNames() {
		if !single(l, i) && cfg.Application == nil && len(cfg.Items) != len(l.Microservices) {
			return nil, fmt.Errorf("service: the front needs the number of items of each of %d microservices to make the calls of %s; it has %d", len(l.Microservices), name, len(cfg.Items))
		}
	}
	for _, n := range cfg.Items {
		if n < 1 {
			return nil, fmt.Errorf("service: front: a microservice of %d items", n)
		}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30
	}
	f := &Front{cfg: cfg, layout: l, mux: http.NewServeMux(), names: cfg.Mesh.NodeNames()}
	// One connection for each request under way: replies are never waited for
	// in line, whatever the load.
	f.round = &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: clientIdle, DisableCompression: true}
	if cfg.Application != nil {
		if err := f.passing(); err != nil {
			return nil, fmt.Errorf("service: front: %w", err)
		}
	}
	for k, target := range targets {
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("service: front: %q is not the URL of a node or microservice, such as http://127.0.0.1:8081", target)
		}
		f.base = append(f.base, u)
		if cfg.Application != nil {
			f.proxy = append(f.proxy, f.passProxy(u, k))
		} else {
			f.proxy = append(f.proxy, f.newProxy(u, k))
		}
	}
	for range l.Mesh.Services {
		f.block = append(f.block, split.New(2, 0))
		f.force.block = append(f.force.block, 0)
	}
	for _, c := range l.Calls {
		f.route = append(f.route, split.New(len(c.Nodes), 0))
		even := make([]float64, len(c.Nodes))
		for k := range even {
			even[k] = 1 / float64(len(even))
		}
		f.force.route = append(f.force.route, even)
	}
	f.apply(f.force, &cfg.Seed)
	f.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meshbench_front_requests_total",
		Help: "Requests by service and where they went: a node, calls for several, blocked, or mesh."}, []string{"service", "to"})
	f.calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meshbench_front_calls_total",
		Help: "Calls for services that make several, by where they went: a node, or mesh."}, []string{"service", "microservice", "to"})
	strangers := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "meshbench_front_strangers",
		Help: "Requests since the last step began that were not of the run."}, func() float64 { return float64(f.strangers.Load()) })
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.requests, f.calls, strangers)
	healthy := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") }
	if cfg.Application == nil {
		f.mux.HandleFunc("GET /{$}", f.page)
		f.mux.HandleFunc("GET /{service}/items/{key}", f.item)
	}
	f.mux.HandleFunc("GET /control", f.control)
	f.mux.HandleFunc("PUT /control", f.control)
	if cfg.Upstreams != nil && cfg.Application == nil {
		f.mux.HandleFunc("GET /probe/{service}", f.probe)
	}
	if cfg.Sidecar != "" {
		sidecar, err := f.sidecar(cfg.Sidecar)
		if err != nil {
			return nil, err
		}
		f.mux.Handle("GET "+RoutesPath, sidecar)
	}
	f.mux.HandleFunc("GET /healthz", healthy)
	f.mux.HandleFunc("GET /readyz", healthy)
	f.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return f, nil
}

func (f *Front) newProxy(target *url.URL, k int) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		ErrorLog:  quiet,
		Transport: f.round,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if came, ok := r.Request.Context().Value(arrival{}).(time.Time); ok {
				f.hold(came, r.Header)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if f.cfg.Upstreams == nil {
				w.Header().Set(NodeHeader, f.names[k])
			}
			x := unreachable(err)
			w.Header().Set(FailureHeader, x.reason)
			http.Error(w, x.text, x.status)
		},
	}
}

// failure is why a call gave nothing.
type failure struct {
	status int
	reason string // for FailureHeader
	text   string
}

// unreachable is the failure of a call that was not answered.
func unreachable(err error) failure {
	if errors.Is(err, context.DeadlineExceeded) {
		return failure{http.StatusGatewayTimeout, cause.Timeout, "the node did not answer in time"}
	}
	return failure{http.StatusBadGateway, cause.Node, "the node does not answer: " + err.Error()}
}

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.cfg.Application != nil {
		f.pass(w, r)
		return
	}
	if _, pattern := f.mux.Handler(r); pattern == "" {
		f.strangers.Add(1)
	}
	f.mux.ServeHTTP(w, r)
}

func (f *Front) item(w http.ResponseWriter, r *http.Request) {
	f.greet(r)
	name := r.PathValue("service")
	i, err := f.cfg.Mesh.Service(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	ctx, cancel := f.within(r.Context())
	defer cancel()
	came := time.Now()
	if f.blocked(w, i) {
		return
	}
	if !single(f.layout, i) {
		f.requests.WithLabelValues(name, "calls").Inc()
		f.path(ctx, w, r, i, came)
		return
	}
	c := f.layout.Stages[i][0][0]
	to, label := f.next(c)
	f.requests.WithLabelValues(name, label).Inc()
	if f.cfg.Link > 0 {
		ctx = context.WithValue(ctx, arrival{}, came)
	}
	r = r.WithContext(ctx)
	// Nodes take no body, and one that comes slowly would keep a connection.
	r.Body, r.ContentLength = http.NoBody, 0
	r.Header.Set(ServiceHeader, name)
	if microservice := f.layout.Microservices[f.layout.Calls[c].Microservice]; microservice != name {
		r.URL = &url.URL{Path: itemPath(microservice, r.PathValue("key")), RawQuery: r.URL.RawQuery}
	}
	f.proxy[to].ServeHTTP(w, r)
}

// greet counts a request that is not of the run.
func (f *Front) greet(r *http.Request) {
	if run := f.run.Load(); run != nil && r.Header.Get(RunHeader) != *run {
		f.strangers.Add(1)
	}
}

// within bounds the whole way of a request.
func (f *Front) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.cfg.Timeout > 0 {
		return context.WithTimeout(ctx, time.Duration(f.cfg.Timeout*1e9))
	}
	return ctx, func() {}
}

// blocked turns the next request of service i away where it is its turn.
func (f *Front) blocked(w http.ResponseWriter, i int) bool {
	if !f.turnsAway(i) {
		return false
	}
	name := f.cfg.Mesh.Services[i].Name
	f.requests.WithLabelValues(name, "blocked").Inc()
	w.Header().Set(FailureHeader, cause.Blocked)
	http.Error(w, "too many requests of "+name, http.StatusTooManyRequests)
	return true
}

func itemPath(microservice, key string) string { return "/" + microservice + "/items/" + key }

// ProbePath is the path and query of the probe of call c.
func ProbePath(l *mesh.Layout, c int) string {
	at := l.Calls[c]
	path := "/probe/" + url.PathEscape(l.Mesh.Services[at.Service].Name)
	if !single(l, at.Service) {
		path += "?microservice=" + url.QueryEscape(l.Microservices[at.Microservice])
	}
	return path
}

// probe asks the mesh for the health of a node that serves a call. The reply
// shows by its headers which routing is in force, and costs the node next to
// nothing.
func (f *Front) probe(w http.ResponseWriter, r *http.Request) {
	if !f.authorised(r) {
		refuse(w)
		return
	}
	key := r.PathValue("service")
	if microservice := r.URL.Query().Get("microservice"); microservice != "" {
		key += "/" + microservice
	}
	c, err := callOf(f.layout, key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	at := f.layout.Calls[c]
	r = r.Clone(r.Context())
	r.URL = &url.URL{Path: "/healthz"}
	r.Body, r.ContentLength = http.NoBody, 0
	r.Header.Del("Authorization") // the nodes have no business with it
	r.Header.Set(ProbeHeader, "1")
	r.Header.Set(ServiceHeader, f.cfg.Mesh.Services[at.Service].Name)
	f.proxy[at.Microservice].ServeHTTP(w, r)
}

// RoutesPath is where a front with a sidecar tells what routes that has.
const RoutesPath = "/sidecar/routes"

// sidecar asks the front's sidecar for its routes, which it tells nobody outside
// the pod.
func (f *Front) sidecar(base string) (http.Handler, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("service: %q is not the URL of a sidecar, such as http://127.0.0.1:15000", base)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL = &url.URL{Path: "/config_dump", RawQuery: "resource=dynamic_route_configs"}
		r.SetURL(u)
		r.Out.Header.Del("Authorization")
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.authorised(r) {
			refuse(w)
			return
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

// arrival is the context's key of the time at which a request came.
type arrival struct{}

// hold waits until a reply with these headers is to count as come, and returns
// when that is: the node's time and Link after the beginning, or now where that
// has passed.
func (f *Front) hold(began time.Time, reply http.Header) time.Time {
	if f.cfg.Link <= 0 {
		return time.Now()
	}
	// A reply without the header, such as an error's, took the node no time.
	seconds, _ := strconv.ParseFloat(reply.Get(SecondsHeader), 64)
	due := began.Add(time.Duration((seconds + f.cfg.Link) * 1e9))
	if now := time.Now(); !now.Before(due) {
		return now
	}
	timer, err := f.timers.get()
	if err != nil {
		return time.Now() // out of file descriptors: the reply leaves early
	}
	defer f.timers.put(timer)
	timer.Until(due)
	return due
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

// turnsAway decides whether the next request of service i is blocked.
func (f *Front) turnsAway(i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.block[i].Next() == 1
}

// next is where call c goes: to which of base, and that for metrics.
func (f *Front) next(c int) (to int, label string) {
	at := f.layout.Calls[c]
	if f.cfg.Upstreams != nil {
		return at.Microservice, "mesh"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	j := at.Nodes[f.route[c].Next()]
	return j, f.names[j]
}

// change puts a setting into force between two requests, or reports what is
// wrong with it and changes nothing.
func (f *Front) change(s Setting) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cfg.Upstreams != nil && s.Route != nil {
		return errors.New("route: this front leaves routing to the mesh")
	}
	force, err := s.merge(f.layout, f.force)
	if err != nil {
		return err
	}
	f.apply(force, s.Seed)
	if s.Run != "" {
		f.run.Store(&s.Run)
		f.strangers.Store(0)
	}
	return nil
}

func (f *Front) apply(x force, seed *uint64) {
	f.force = x
	for i := range f.block {
		f.block[i].Set(1-x.block[i], x.block[i])
		if seed != nil {
			f.block[i].Reset(*seed + uint64(2*i))
		}
	}
	for c := range f.route {
		f.route[c].Set(x.route[c]...)
		if seed != nil {
			f.route[c].Reset(*seed + uint64(2*c+1))
		}
	}
}

// Setting is what is in force.
func (f *Front) Setting() Setting {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.force.setting(f.layout, f.cfg.Upstreams == nil)
	if run := f.run.Load(); run != nil {
		s.Run, s.Strangers = *run, int(f.strangers.Load())
	}
	return s
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
		last := "" // of several calls the key draws, whatever it is
		if u := f.layout.Calls[f.layout.Stages[i][0][0]].Microservice; single(f.layout, i) && u < len(f.cfg.Items) {
			last = strconv.Itoa(f.cfg.Items[u] - 1)
		}
		rows = append(rows, row{name, last})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	pageTemplate.Execute(w, rows)
}
