package scenario

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/load/request"
)

// Application is what is deployed already, for the testbed http: where its nodes
// are reached, and how it is known which of them answered.
type Application struct {
	// Nodes has the base URL of each node, for instance of each version.
	Nodes map[string]string `yaml:"nodes" json:",omitempty"`
	// Attribution says how it is known which node answered a request.
	Attribution Attribution `yaml:"attribution" json:",omitempty"`
	// Header of an answer that names its node, for ByHeader.
	Header string `yaml:"header" json:",omitempty"`
	// Names has the node of a value of Header. Default the node of that name.
	Names map[string]string `yaml:"names" json:",omitempty"`
}

// Attribution is a way to know which node answered.
type Attribution string

const (
	ByFront  Attribution = "front"  // where the front sent the request; the default
	ByHeader Attribution = "header" // what a header of the answer says
	Unknown  Attribution = "none"   // it is not known: models are of all loads and controls
)

// Deployed reports whether the scenario is of an application that is deployed
// already.
func (s Scenario) Deployed() bool { return s.Application.Nodes != nil }

func (a Application) defaults() Application {
	if a.Attribution == "" && a.Nodes != nil {
		a.Attribution = ByFront
	}
	return a
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
		for _, err := range s.Application.validate(s) {
			all = append(all, fmt.Errorf("application: %w", err))
		}
	}
	return all
}

func (a Application) validate(s Scenario) (all []error) {
	add := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	nodes := s.Mesh.NodeNames()
	for _, n := range nodes {
		if a.Nodes[n] == "" {
			add("no URL of %q", n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(a.Nodes)) {
		if !slices.Contains(nodes, n) {
			add("URL of %q, which is no node; the mesh has %s", n, strings.Join(nodes, ", "))
		}
		u, err := url.Parse(a.Nodes[n])
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			add("URL %q of %q; accepted: for instance http://10.0.0.1:8080 or https://shop.example/v1", a.Nodes[n], n)
		}
	}
	switch a.Attribution {
	case ByHeader:
		if a.Header == "" {
			add("attribution by header; say which header")
		}
	case ByFront, Unknown:
		if a.Header != "" || a.Names != nil {
			add("a header or names, but attribution %q; accepted with them: header", a.Attribution)
		}
	default:
		add("attribution %q; accepted: front, header, none", a.Attribution)
	}
	for _, value := range slices.Sorted(maps.Keys(a.Names)) {
		if !slices.Contains(nodes, a.Names[value]) {
			add("header value %q is of %q, which is no node; the mesh has %s", value, a.Names[value], strings.Join(nodes, ", "))
		}
	}
	for i, service := range s.Mesh.Services {
		if len(service.Stages) != 1 || len(service.Stages[0]) != 1 {
			add("service %q makes several calls; of an application the first alone can be routed from outside: say one stage of one microservice", service.Name)
		}
		if i >= len(s.Requests) || len(s.Requests[i]) == 0 {
			add("service %q has no requests to ask for", service.Name)
		}
	}
	return all
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
	s.Application = f.Application
	return problems
}
