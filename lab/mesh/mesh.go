// Package mesh holds the plain data of a service mesh under control: its
// services, their stages and nodes, the knobs that control it and the space of
// actions that they span, loads, states and what is measured in one control
// step. It does no I/O; every other package speaks in its terms.
//
// A service is a path of stages; a stage makes one call, or several in parallel
// of which the slowest counts; a call goes to one of the nodes that run its
// microservice (Fig. 1a of the paper). A pair of call and node is an endpoint.
// In the paper's use case (Fig. 1b) a service is one call that either of two
// nodes may serve, so that calls are services and endpoints are pairs (i, j).
//
// Symbols follow the paper (Table 1): m services i, n nodes j, offered load l_i
// and carried load l_i(1-b_i) in requests/s, routing weight p_ij, blocking rate
// b_i, mean end-to-end response time d_i in seconds.
package mesh

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Mesh is the services and the nodes of one mesh. It has no usable zero value.
type Mesh struct {
	Nodes    []Node    `json:"nodes"`
	Services []Service `json:"services"`
}

// Node is where microservices run.
type Node struct {
	Name  string  `json:"name"`
	Speed float64 `json:"speed,omitempty"` // work done in a second, in those of the node that service times are said for; default 1
}

// Service is what requests ask for: its stages follow each other.
type Service struct {
	Name   string  `json:"name"`
	Stages []Stage `json:"stages"`
}

// Stage is the calls that a service makes in parallel: it ends with the slowest.
type Stage []Call

// Call is a request of a service to a microservice.
type Call struct {
	Microservice string   `json:"microservice"`
	Nodes        []string `json:"nodes"` // that may serve it
}

// New returns a mesh of m services and n nodes with the names service1 ... and
// node1 ...: each service is one call that any of the nodes may serve, as in the
// paper's use case, which is New(2, 2).
func New(m, n int) Mesh {
	if m < 1 || n < 1 {
		panic(fmt.Sprintf("mesh: New(%d, %d): at least one service and one node", m, n))
	}
	return Single(number("service", m), number("node", n))
}

// Single returns a mesh of the named services on the named nodes: each service
// is one call that any of the nodes may serve.
func Single(services, nodes []string) Mesh {
	var x Mesh
	for _, name := range nodes {
		x.Nodes = append(x.Nodes, Node{Name: name})
	}
	for _, name := range services {
		x.Services = append(x.Services, Service{name, []Stage{{{Microservice: name, Nodes: nodes}}}})
	}
	return x
}

func number(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return names
}

// ServiceNames returns the names of the services.
func (m Mesh) ServiceNames() []string {
	names := make([]string, len(m.Services))
	for i, s := range m.Services {
		names[i] = s.Name
	}
	return names
}

// NodeNames returns the names of the nodes.
func (m Mesh) NodeNames() []string {
	names := make([]string, len(m.Nodes))
	for j, n := range m.Nodes {
		names[j] = n.Name
	}
	return names
}

// M is the number of services.
func (m Mesh) M() int { return len(m.Services) }

// N is the number of nodes.
func (m Mesh) N() int { return len(m.Nodes) }

// Speed is the speed of node j, its default filled in.
func (m Mesh) Speed(j int) float64 {
	if s := m.Nodes[j].Speed; s != 0 {
		return s
	}
	return 1
}

// maxSpeed is that of a node a million times as fast as others.
const maxSpeed = 1e6

// Validate lists all that is wrong with the mesh: errors joined, nil for none.
func (m Mesh) Validate() error {
	var all []error
	add := func(format string, args ...any) { all = append(all, fmt.Errorf("mesh: "+format, args...)) }
	if m.M() == 0 {
		add("no service; a mesh has at least one")
	}
	if m.N() == 0 {
		add("no node; a mesh has at least one")
	}
	nodes, services := map[string]bool{}, map[string]bool{}
	for j, n := range m.Nodes {
		switch {
		case n.Name == "":
			add("node %d has an empty name", j+1)
		case nodes[n.Name]:
			add("node name %q is used twice", n.Name)
		}
		nodes[n.Name] = true
		if s := n.Speed; !(s >= 0 && s <= maxSpeed) {
			add("node %q has speed %v; accepted: above 0 to %v", n.Name, s, maxSpeed)
		}
	}
	for i, s := range m.Services {
		switch {
		case s.Name == "":
			add("service %d has an empty name", i+1)
		case services[s.Name]:
			add("service name %q is used twice", s.Name)
		}
		services[s.Name] = true
		if len(s.Stages) == 0 {
			add("service %q has no stage; it has at least one", s.Name)
		}
		called := map[string]bool{}
		for k, stage := range s.Stages {
			if len(stage) == 0 {
				add("stage %d of service %q makes no call; it makes at least one", k+1, s.Name)
			}
			for _, c := range stage {
				switch {
				case c.Microservice == "":
					add("a call in stage %d of service %q has no microservice", k+1, s.Name)
				case called[c.Microservice]:
					add("service %q calls %q twice; a service calls a microservice once", s.Name, c.Microservice)
				}
				called[c.Microservice] = true
				if len(c.Nodes) == 0 {
					add("call of %q in service %q has no node; it has at least one", c.Microservice, s.Name)
				}
				seen := map[string]bool{}
				for _, n := range c.Nodes {
					if !nodes[n] {
						add("call of %q in service %q: unknown node %q; the mesh has %s", c.Microservice, s.Name, n, strings.Join(m.NodeNames(), ", "))
					}
					if seen[n] {
						add("call of %q in service %q names node %q twice", c.Microservice, s.Name, n)
					}
					seen[n] = true
				}
			}
		}
	}
	return joined(all)
}

// problems are all that is wrong, in one line.
type problems []error

func joined(all []error) error {
	if len(all) == 0 {
		return nil
	}
	return problems(all)
}

func (p problems) Error() string {
	texts := make([]string, len(p))
	for k, err := range p {
		texts[k] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (p problems) Unwrap() []error { return p }

// Service returns the index of the named service.
func (m Mesh) Service(name string) (int, error) { return index("service", name, m.ServiceNames()) }

// Node returns the index of the named node.
func (m Mesh) Node(name string) (int, error) { return index("node", name, m.NodeNames()) }

func index(kind, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("mesh: unknown %s %q; the mesh has %s", kind, name, strings.Join(names, ", "))
}

// single reports whether every service is one call that any node may serve.
func (m Mesh) single() bool {
	for _, s := range m.Services {
		if len(s.Stages) != 1 || len(s.Stages[0]) != 1 || len(s.Stages[0][0].Nodes) != m.N() {
			return false
		}
		for j, n := range s.Stages[0][0].Nodes {
			if n != m.Nodes[j].Name {
				return false
			}
		}
	}
	return true
}

// String identifies the mesh: "service1,service2 on node1,node2" where every
// service is one call that any node may serve, else with each service's path,
// "shop: web(a,b) > cart(c) + price(c) on a,b,c". Files that only fit one mesh
// carry it.
func (m Mesh) String() string {
	nodes := " on " + strings.Join(m.NodeNames(), ",")
	if m.single() {
		return strings.Join(m.ServiceNames(), ",") + nodes
	}
	var services []string
	for _, s := range m.Services {
		var stages []string
		for _, stage := range s.Stages {
			var calls []string
			for _, c := range stage {
				calls = append(calls, c.Microservice+"("+strings.Join(c.Nodes, ",")+")")
			}
			stages = append(stages, strings.Join(calls, " + "))
		}
		services = append(services, s.Name+": "+strings.Join(stages, " > "))
	}
	return strings.Join(services, "; ") + nodes
}

// UnmarshalJSON also reads a mesh whose services and nodes are lists of names,
// as files of the paper's mesh have it.
func (m *Mesh) UnmarshalJSON(b []byte) error {
	var names struct{ Services, Nodes []string }
	if json.Unmarshal(b, &names) == nil && len(names.Services) > 0 {
		*m = Single(names.Services, names.Nodes)
		return nil
	}
	type plain Mesh
	return json.Unmarshal(b, (*plain)(m))
}
