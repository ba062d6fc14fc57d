package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/service/cause"
)

// Application is what the front of an application that is not of this project
// knows of it. Such a front passes requests on as they are, whatever they ask for:
// to FrontConfig.Nodes, or where a mesh routes to the first of the service's
// microservices in FrontConfig.Upstreams, which calls the others itself. A request is of the service that ServiceHeader says,
// else of the first service whose requests look like it; those of a session are
// routed and blocked one by one. None of this project's
// headers reaches the application, and none of its own by these names the
// client.
type Application struct {
	Requests []request.Mix  // of each service
	Client   request.Client // how nodes are connected to; its Timeout is the generator's, not the front's
	// Node says which node an answer is of, "" for unknown; to is the node that the
	// front asked, "" where a mesh routes. It is told to clients in NodeHeader.
	// Default to.
	Node func(to string, answer http.Header) string
	// Aborted has an answer of Envoy's fault filter with status 429 count as a
	// request that was blocked, where the mesh blocks in place of the front.
	Aborted bool
}

// Control serves the front's own endpoints: control, healthz, readyz, metrics.
func (f *Front) Control() http.Handler { return f.mux }

// passing prepares the front of an application.
func (f *Front) passing() error {
	a := f.cfg.Application
	if f.cfg.Link > 0 {
		return errors.New("the front of an application emulates no link")
	}
	if len(a.Requests) != f.cfg.Mesh.M() {
		return fmt.Errorf("requests of %d services; the mesh has %d", len(a.Requests), f.cfg.Mesh.M())
	}
	for i, name := range f.cfg.Mesh.ServiceNames() {
		if !single(f.layout, i) && f.cfg.Upstreams == nil {
			return fmt.Errorf("service %s makes several calls; the front of an application passes requests on", name)
		}
		m, err := request.NewMatcher(a.Requests[i])
		if err != nil {
			return fmt.Errorf("service %s: %w", name, err)
		}
		f.match = append(f.match, m)
	}
	transport, err := a.Client.Transport()
	f.round = transport
	return err
}

// serviceOf is the service that a request is of, -1 for none.
func (f *Front) serviceOf(r *http.Request) int {
	if name := r.Header.Get(ServiceHeader); name != "" {
		return slices.Index(f.cfg.Mesh.ServiceNames(), name)
	}
	return slices.IndexFunc(f.match, func(m *request.Matcher) bool { return m.Match(r.Method, r.URL.EscapedPath()) })
}

// pass blocks a request, or passes it on to a node.
func (f *Front) pass(w http.ResponseWriter, r *http.Request) {
	f.greet(r)
	i := f.serviceOf(r)
	if i < 0 {
		http.Error(w, "no service of the scenario has such a request", http.StatusNotFound)
		return
	}
	ctx, cancel := f.within(r.Context())
	defer cancel()
	if f.blocked(w, i) {
		return
	}
	to, label := f.next(f.layout.Stages[i][0][0])
	f.requests.WithLabelValues(f.cfg.Mesh.Services[i].Name, label).Inc()
	f.proxy[to].ServeHTTP(w, r.WithContext(ctx))
}

// quiet takes what a proxy says of each answer that is cut off: it has no end, and
// who asked has seen it.
var quiet = log.New(io.Discard, "", 0)

// passProxy passes requests on to node k.
func (f *Front) passProxy(target *url.URL, k int) *httputil.ReverseProxy {
	a := f.cfg.Application
	asked := ""
	if f.cfg.Upstreams == nil {
		asked = f.names[k]
	}
	return &httputil.ReverseProxy{
		Transport:     f.round,
		ErrorLog:      quiet,
		FlushInterval: -1, // what an application streams comes as it is sent
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			if slices.ContainsFunc(f.match, func(m *request.Matcher) bool { return m.Host(r.In.Host) }) {
				r.Out.Host = r.In.Host // the scenario says it
			}
			for _, h := range []string{RunHeader, ServiceHeader} {
				r.Out.Header.Del(h)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			node := asked
			if a.Node != nil {
				node = a.Node(node, r.Header)
			}
			for _, h := range []string{NodeHeader, FailureHeader, CallsHeader, SecondsHeader} {
				r.Header.Del(h)
			}
			if node != "" {
				r.Header.Set(NodeHeader, node)
			}
			if r.StatusCode == http.StatusTooManyRequests {
				r.Header.Set(FailureHeader, cause.Limited)
				if a.Aborted && aborted(r) {
					r.Header.Set(FailureHeader, cause.Blocked)
				}
			}
			// A redirect to the node itself would lead past the front.
			if to, err := r.Location(); err == nil && (to.Host == target.Host || to.Host == r.Request.Host) {
				to.Scheme, to.Host, to.User = "", "", nil
				to.Path, to.RawPath = strings.TrimPrefix(to.Path, strings.TrimRight(target.Path, "/")), ""
				r.Header.Set("Location", to.String())
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// Where it went is known, whatever the answer would have said.
			if a.Node == nil && asked != "" {
				w.Header().Set(NodeHeader, asked)
			}
			status := http.StatusBadGateway
			reason := request.Reason(err)
			if x := unreachable(err); x.status == http.StatusGatewayTimeout {
				status, reason = x.status, x.reason
			}
			w.Header().Set(FailureHeader, reason)
			http.Error(w, reason, status)
		},
	}
}

// faultAbort is what Envoy's fault filter answers.
const faultAbort = "fault filter abort"

// aborted tells an answer of Envoy's fault filter, whose body it reads and puts
// back.
func aborted(r *http.Response) bool {
	if r.ContentLength != int64(len(faultAbort)) {
		return false
	}
	body, err := io.ReadAll(r.Body)
	r.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(body), r.Body}
	return err == nil && string(body) == faultAbort
}
