package mesh

import (
	"fmt"
	"slices"
)

// Layout numbers what a mesh is made of: calls, endpoints and microservices.
// Slices with a value for each of them are in its order.
type Layout struct {
	Mesh Mesh
	// Calls are those of all services, stage by stage.
	Calls []CallAt
	// Endpoints are the pairs of call and node, call by call.
	Endpoints []Endpoint
	// Microservices are the distinct ones of all calls, in the order in which
	// they first come.
	Microservices []string
	// Stages[i][k] are the calls of stage k of service i.
	Stages [][][]int
}

// CallAt is a call and where it is in the mesh.
type CallAt struct {
	Service, Stage int
	Microservice   int
	Nodes          []int // that may serve it
	First          int   // its first endpoint; those of its nodes follow each other
}

// Endpoint is a call on one of its nodes.
type Endpoint struct {
	Call, Node int
}

// Layout numbers the parts of m, which must be valid.
func (m Mesh) Layout() *Layout {
	l := &Layout{Mesh: m}
	nodes := m.NodeNames()
	for i, s := range m.Services {
		l.Stages = append(l.Stages, make([][]int, len(s.Stages)))
		for k, stage := range s.Stages {
			for _, c := range stage {
				u := slices.Index(l.Microservices, c.Microservice)
				if u < 0 {
					u = len(l.Microservices)
					l.Microservices = append(l.Microservices, c.Microservice)
				}
				at := CallAt{Service: i, Stage: k, Microservice: u, First: len(l.Endpoints)}
				for _, n := range c.Nodes {
					j := slices.Index(nodes, n)
					at.Nodes = append(at.Nodes, j)
					l.Endpoints = append(l.Endpoints, Endpoint{len(l.Calls), j})
				}
				l.Stages[i][k] = append(l.Stages[i][k], len(l.Calls))
				l.Calls = append(l.Calls, at)
			}
		}
	}
	return l
}

// Of are the endpoints of call c: the numbers from first to before end.
func (l *Layout) Of(c int) (first, end int) {
	return l.Calls[c].First, l.Calls[c].First + len(l.Calls[c].Nodes)
}

// Endpoint is the number of call c's endpoint on node j, -1 where the node does
// not serve it.
func (l *Layout) Endpoint(c, j int) int {
	if k := slices.Index(l.Calls[c].Nodes, j); k >= 0 {
		return l.Calls[c].First + k
	}
	return -1
}

// CallOf is the number of the call of a microservice by a service, the first
// where it makes several; -1 for none.
func (l *Layout) CallOf(service int, microservice string) int {
	return slices.IndexFunc(l.Calls, func(c CallAt) bool {
		return c.Service == service && l.Microservices[c.Microservice] == microservice
	})
}

// Column names of traces and models, as the published trace has them: numbers
// count from 1.

// LoadName is the column of l_i, for instance l1.
func (m Mesh) LoadName(i int) string { return fmt.Sprintf("l%d", i+1) }

// CarriedName is the column of the carried load of service i, for instance cl1.
func (m Mesh) CarriedName(i int) string { return fmt.Sprintf("cl%d", i+1) }

// DelayName is the column of d_i, for instance d1.
func (m Mesh) DelayName(i int) string { return fmt.Sprintf("d%d", i+1) }

// EndpointName is prefix with the numbers of an endpoint: of service and node,
// "d12", where every service is one call that any node may serve ("d1_12" where
// digits would run together), else of service, call within it, and node,
// "d1.2.3".
func (l *Layout) EndpointName(prefix string, e int) string {
	at := l.Endpoints[e]
	c := l.Calls[at.Call]
	if !l.Mesh.single() {
		return fmt.Sprintf("%s%d.%d.%d", prefix, c.Service+1, at.Call-l.Stages[c.Service][0][0]+1, at.Node+1)
	}
	if l.Mesh.M() > 9 || l.Mesh.N() > 9 {
		return fmt.Sprintf("%s%d_%d", prefix, c.Service+1, at.Node+1)
	}
	return fmt.Sprintf("%s%d%d", prefix, c.Service+1, at.Node+1)
}

// DelayNames are the columns of the delays of all endpoints, d_ij: d11 d12 d21
// d22 for the paper's mesh.
func (l *Layout) DelayNames() []string {
	names := make([]string, len(l.Endpoints))
	for e := range names {
		names[e] = l.EndpointName("d", e)
	}
	return names
}

// CallName says which call c is, for people: its service, and the microservice
// where that has another name.
func (l *Layout) CallName(c int) string {
	service, microservice := l.Mesh.Services[l.Calls[c].Service].Name, l.Microservices[l.Calls[c].Microservice]
	if service == microservice {
		return service
	}
	return service + ": " + microservice
}
