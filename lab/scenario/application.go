package scenario

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Application is what is deployed already: for the testbed http, where its nodes
// are reached; for the testbed istio, what it is called in the mesh; and how it is
// known which node answered.
type Application struct {
	// Nodes has the base URL of each node, for instance of each version, for the
	// testbed http.
	Nodes map[string]string `yaml:"nodes" json:",omitempty"`
	// Attribution says how it is known which node answered a request.
	Attribution Attribution `yaml:"attribution" json:",omitempty"`
	// Header of an answer that names its node, for ByHeader.
	Header string `yaml:"header" json:",omitempty"`
	// Names has the node of a value of Header. Default the node of that name.
	Names map[string]string `yaml:"names" json:",omitempty"`

	// Namespace of Kubernetes that the application is in, for the testbed istio.
	Namespace string `yaml:"namespace" json:",omitempty"`
	// Routes has what each microservice is called in the mesh, by its name, or by
	// "service/microservice" where several services call it. Default its own name
	// and those of its nodes for all of it.
	Routes map[string]Route `yaml:"routes" json:",omitempty"`
	// Deployments has the Deployment of a node. Default none: nothing is known of
	// the node's pods, and they cannot be scaled.
	Deployments map[string]string `yaml:"deployments" json:",omitempty"`
	// Blocking says what turns requests away on the testbed istio.
	Blocking Blocking `yaml:"blocking" json:",omitempty"`
	// Follow is for how long, in s, the mesh is given to follow a change of
	// weights, where the front's sidecar has not the routes of it, by which this
	// would be seen. Default 0: it is seen.
	Follow float64 `yaml:"follow" json:",omitempty"`
}

// Route is what a microservice is called in Istio.
type Route struct {
	// VirtualService that has its weights. Default the microservice's name.
	VirtualService string `yaml:"virtualService" json:",omitempty"`
	// HTTP is the name of the HTTP entry in it, of which there may be others.
	// Default that whose destinations are those of the nodes.
	HTTP string `yaml:"http" json:",omitempty"`
	// Host of the destinations. Default the microservice's name.
	Host string `yaml:"host" json:",omitempty"`
	// Port that requests are sent to. Default 80.
	Port int `yaml:"port" json:",omitempty"`
	// Destinations has that of each node. Default Host and the subset of the node's
	// name.
	Destinations map[string]Destination `yaml:"destinations" json:",omitempty"`
}

// Destination is one of a route.
type Destination struct {
	Host   string `yaml:"host" json:",omitempty"`   // default that of the route
	Subset string `yaml:"subset" json:",omitempty"` // default none
}

// Attribution is a way to know which node answered.
type Attribution string

const (
	ByFront  Attribution = "front"  // where the front sent the request, on the testbed http; its default
	ByHeader Attribution = "header" // what a header of the answer says
	ByProxy  Attribution = "proxy"  // where the front's sidecar sent the request, on the testbed istio; its default
	Unknown  Attribution = "none"   // it is not known: models are of all loads and controls
)

// ProxyHeader is the header that the front's sidecar adds to answers for ByProxy:
// the cluster that it sent the request to, as Envoy names it.
const ProxyHeader = "Meshbench-Upstream"

// Blocking is what turns requests away.
type Blocking string

const (
	FrontBlocks Blocking = "front" // exactly in the long run; the default
	FaultBlocks Blocking = "fault" // Istio's fault abort, each request independently
	NoneBlocks  Blocking = "none"  // nothing: there is no knob for it
)

// ShownURL is the text of a URL for people: without what stands before the host,
// in which there may be a password.
func ShownURL(text string) string { return userForm.ReplaceAllString(text, "${1}...@") }

var userForm = regexp.MustCompile(`^([^/]*//)?.*@`)

// Deployed reports whether the scenario is of an application that is deployed
// already.
func (s Scenario) Deployed() bool { return s.Application.Nodes != nil || s.Application.Meshed() }

// Meshed reports whether it is one on a service mesh.
func (a Application) Meshed() bool { return a.Namespace != "" || a.Routes != nil }

func (s Scenario) application() Application {
	a := s.Application
	switch {
	case a.Attribution != "" || !s.Deployed():
	case a.Nodes != nil:
		a.Attribution = ByFront
	case slices.ContainsFunc(s.Mesh.Services, several):
		a.Attribution = Unknown
	default:
		a.Attribution = ByProxy
	}
	if a.Blocking == "" && a.Meshed() {
		a.Blocking = FrontBlocks
	}
	return a
}

// several reports whether a request of a service is more than one call.
func several(x mesh.Service) bool { return len(x.Stages) != 1 || len(x.Stages[0]) != 1 }

// Route is what call c of a layout is called in the mesh, with all of its fields
// and a destination for each of the call's nodes.
func (a Application) Route(l *mesh.Layout, c int) Route {
	at := l.Calls[c]
	name := l.Microservices[at.Microservice]
	r, ok := a.Routes[l.Mesh.Services[at.Service].Name+"/"+name]
	if !ok {
		r = a.Routes[name]
	}
	if r.VirtualService == "" {
		r.VirtualService = name
	}
	if r.Host == "" {
		r.Host = name
	}
	if r.Port == 0 {
		r.Port = 80
	}
	given := r.Destinations
	r.Destinations = map[string]Destination{}
	for _, j := range at.Nodes {
		node := l.Mesh.Nodes[j].Name
		d, ok := given[node]
		if !ok {
			d.Subset = node
		}
		if d.Host == "" {
			d.Host = r.Host
		}
		r.Destinations[node] = d
	}
	return r
}

// Upstreams are the base URLs of the microservices in the mesh, in the layout's
// order.
func (s Scenario) Upstreams() []string {
	l := s.Mesh.Layout()
	urls := make([]string, len(l.Microservices))
	for c, at := range l.Calls {
		if r := s.Application.Route(l, c); urls[at.Microservice] == "" {
			urls[at.Microservice] = fmt.Sprintf("http://%s:%d", r.Host, r.Port)
		}
	}
	return urls
}

// FullHost is a host as Kubernetes names it in full: a short one is of the
// application's namespace.
func (a Application) FullHost(host string) string {
	switch strings.Count(host, ".") {
	case 0:
		return host + "." + a.Namespace + ".svc.cluster.local"
	case 1:
		return host + ".svc.cluster.local"
	}
	if strings.HasSuffix(host, ".svc") {
		return host + ".cluster.local"
	}
	return host
}

// NodeOf is what tells the node of an answer, "" for unknown, from where the front
// sent the request and the answer's header; nil for where it was sent.
func (s Scenario) NodeOf() func(to string, answer http.Header) string {
	a := s.application()
	names := map[string]string{}
	switch a.Attribution {
	case Unknown:
		return func(string, http.Header) string { return "" }
	case ByHeader:
		for _, n := range s.Mesh.NodeNames() {
			names[n] = n
		}
		maps.Copy(names, a.Names)
		return func(_ string, h http.Header) string { return names[h.Get(a.Header)] }
	case ByProxy:
		l := s.Mesh.Layout()
		for c := range l.Calls {
			for node, d := range a.Route(l, c).Destinations {
				names[d.Subset+"|"+a.FullHost(d.Host)] = node
			}
		}
		return func(_ string, h http.Header) string {
			// outbound|PORT|SUBSET|HOST, with a ; behind it where Istio names statistics so
			_, rest, _ := strings.Cut(h.Get(ProxyHeader), "|")
			_, rest, _ = strings.Cut(rest, "|")
			return names[strings.TrimSuffix(rest, ";")]
		}
	}
	return nil
}

// validateRequests lists what is wrong with what is asked for, and of whom.
func (s Scenario) validateRequests() (all []error) {
	names := s.Mesh.ServiceNames()
	if s.Requests != nil && len(s.Requests) != len(names) {
		all = append(all, fmt.Errorf("requests of %d services; the mesh has %d", len(s.Requests), len(names)))
	}
	for i, m := range s.Requests {
		if len(m) == 0 || i >= len(names) {
			continue
		}
		if _, err := request.Compile(m); err != nil {
			all = append(all, fmt.Errorf("service %q: %w", names[i], err))
		}
	}
	if err := s.Client.Validate(); err != nil {
		all = append(all, err)
	}
	if s.Deployed() {
		for _, err := range s.validateApplication() {
			all = append(all, fmt.Errorf("application: %w", err))
		}
	}
	return all
}

func (s Scenario) validateApplication() (all []error) {
	a := s.application()
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	nodes := s.Mesh.NodeNames()
	known := func(what, node string) {
		if !slices.Contains(nodes, node) {
			add("%s of %q, which is no node; the mesh has %s", what, node, strings.Join(nodes, ", "))
		}
	}
	for _, n := range nodes {
		if a.Nodes[n] == "" && a.Nodes != nil {
			add("no URL of %q", n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(a.Nodes)) {
		known("URL", n)
		u, err := url.Parse(a.Nodes[n])
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			add("URL %q of %q; accepted: for instance http://10.0.0.1:8080 or https://shop.example/v1", ShownURL(a.Nodes[n]), n)
		}
	}
	several := slices.ContainsFunc(s.Mesh.Services, several)
	switch a.Attribution {
	case ByHeader:
		if a.Header == "" {
			add("attribution by header; say which header")
		}
	case ByFront, ByProxy, Unknown:
		if a.Header != "" || a.Names != nil {
			add("a header or names, but attribution %q; accepted with them: header", a.Attribution)
		}
	default:
		add("attribution %q; accepted: front, header, proxy, none", a.Attribution)
	}
	if a.Attribution == ByFront && a.Nodes == nil || a.Attribution == ByProxy && !a.Meshed() {
		add("attribution %q; accepted: front where nodes have URLs, proxy where there are routes, header, none", a.Attribution)
	}
	for _, value := range slices.Sorted(maps.Keys(a.Names)) {
		if !slices.Contains(nodes, a.Names[value]) {
			add("header value %q is of %q, which is no node; the mesh has %s", value, a.Names[value], strings.Join(nodes, ", "))
		}
	}
	for i, service := range s.Mesh.Services {
		switch {
		case !a.Meshed() && (len(service.Stages) != 1 || len(service.Stages[0]) != 1):
			add("service %q makes several calls; of an application without a mesh the first alone can be routed from outside: say one stage of one microservice", service.Name)
		case len(service.Stages) > 0 && len(service.Stages[0]) != 1:
			add("service %q begins with calls in parallel; accepted: one call, which the front makes", service.Name)
		}
		if i >= len(s.Requests) || len(s.Requests[i]) == 0 {
			add("service %q has no requests to ask for", service.Name)
		}
	}
	if !a.Meshed() {
		if a.Deployments != nil || a.Blocking != "" || a.Follow != 0 {
			add("deployments, blocking or follow, which are for the testbed istio; say the namespace")
		}
		return all
	}
	if a.Namespace == "" {
		add("routes, but no namespace that they are in")
	}
	if several && a.Attribution != Unknown {
		add("attribution %q, but services that make several calls; accepted for them: none", a.Attribution)
	}
	if !(a.Follow >= 0 && a.Follow <= 60) {
		add("follow %v s; accepted: 0 to 60", a.Follow)
	}
	switch a.Blocking {
	case FrontBlocks, NoneBlocks:
	case FaultBlocks:
		if several {
			add("blocking by fault, but services that make several calls, of which an abort ends one; accepted for them: front, none")
		}
	default:
		add("blocking %q; accepted: front, fault, none", a.Blocking)
	}
	for _, k := range s.Defaults().Knobs {
		if a.Blocking == NoneBlocks && k.Kind == mesh.Block {
			add("blocking none, but a knob that blocks; list knobs without it")
		}
	}
	for _, node := range slices.Sorted(maps.Keys(a.Deployments)) {
		known("Deployment", node)
	}
	if s.Mesh.Validate() != nil {
		return all
	}
	l := s.Mesh.Layout()
	names := map[string]bool{}
	owner := map[string]string{} // of an HTTP entry: the call
	for c, at := range l.Calls {
		micro := l.Microservices[at.Microservice]
		names[micro], names[l.Mesh.Services[at.Service].Name+"/"+micro] = true, true
		r := a.Route(l, c)
		if r.Port < 1 || r.Port > 65535 {
			add("port %d of route %q; accepted: 1 to 65535", r.Port, micro)
		}
		key := r.VirtualService + " " + r.HTTP
		if other, ok := owner[key]; ok {
			add("calls %s and %s have the same HTTP entry %q of VirtualService %q; each needs its own, by its name in http", other, l.CallName(c), r.HTTP, r.VirtualService)
		}
		owner[key] = l.CallName(c)
		for _, node := range slices.Sorted(maps.Keys(a.Routes[micro].Destinations)) {
			if _, ok := r.Destinations[node]; !ok && slices.Contains(nodes, node) {
				add("destination of %q in route %q, which does not run there", node, micro)
			}
			known("destination", node)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Routes)) {
		if !names[name] {
			add("route of %q, which is no microservice; the mesh has %s", name, strings.Join(l.Microservices, ", "))
		}
	}
	return all
}

// Files are the names of the files that a scenario's text needs beside it, as they
// stand there: lists of values, and certificates.
func Files(text []byte) ([]string, error) {
	var f file
	if err := yaml.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	var names []string
	for _, x := range f.Services {
		for _, r := range x.Requests {
			for _, v := range r.Values {
				names = append(names, v.CSV)
			}
		}
	}
	if !strings.HasPrefix(strings.TrimSpace(f.Client.CA), "-----BEGIN") {
		names = append(names, f.Client.CA)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" }), nil
}

// requests loads what the file's services are asked for, lists and certificates
// from files beside it.
func (f *file) requests(s *Scenario, name string) (problems []string) {
	dir := filepath.Dir(name)
	asked := false
	for _, x := range f.Services {
		m, err := request.Load(x.Requests, dir)
		if err != nil {
			problems = append(problems, fmt.Sprintf("service %q: %v", x.Name, err))
			m = nil
		}
		s.Requests = append(s.Requests, m)
		asked = asked || len(x.Requests) > 0
	}
	if !asked {
		s.Requests = nil
	}
	var err error
	if s.Client, err = f.Client.Load(dir); err != nil {
		problems = append(problems, err.Error())
		s.Client = request.Client{}
	}
	s.Application, s.Platform = f.Application, f.Platform
	return problems
}
