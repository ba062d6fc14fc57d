// Package mesh holds the plain data of a service mesh under control: its
// services and nodes, the action space, loads, states and what is measured in
// one control step. It does no I/O; every other package speaks in its terms.
//
// Symbols follow the paper (Table 1): m services i, n processing nodes j,
// offered load l_i and carried load l_i(1-b_i) in requests/s, routing weight
// p_ij, blocking rate b_i, mean end-to-end response time d_i in seconds.
package mesh

import (
	"fmt"
	"strings"
)

// Mesh names the services and the processing nodes of one mesh. The zero value
// is the paper's use case (Fig. 1b): two services, two nodes.
type Mesh struct {
	Services []string // default service1, service2
	Nodes    []string // default node1, node2
}

var (
	defaultServices = []string{"service1", "service2"}
	defaultNodes    = []string{"node1", "node2"}
)

// New returns a mesh of m services and n nodes with the default names
// service1 ... and node1 ... .
func New(m, n int) Mesh {
	if m < 1 || n < 1 {
		panic(fmt.Sprintf("mesh: New(%d, %d): at least one service and one node", m, n))
	}
	return Mesh{Services: number("service", m), Nodes: number("node", n)}
}

func number(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return names
}

// ServiceNames returns the names of the services, defaults filled in.
func (m Mesh) ServiceNames() []string {
	if len(m.Services) == 0 {
		return defaultServices
	}
	return m.Services
}

// NodeNames returns the names of the nodes, defaults filled in.
func (m Mesh) NodeNames() []string {
	if len(m.Nodes) == 0 {
		return defaultNodes
	}
	return m.Nodes
}

// M is the number of services.
func (m Mesh) M() int { return len(m.ServiceNames()) }

// N is the number of processing nodes.
func (m Mesh) N() int { return len(m.NodeNames()) }

// Validate reports an empty or repeated name.
func (m Mesh) Validate() error {
	for _, group := range []struct {
		kind  string
		names []string
	}{{"service", m.ServiceNames()}, {"node", m.NodeNames()}} {
		seen := map[string]bool{}
		for i, name := range group.names {
			if name == "" {
				return fmt.Errorf("mesh: %s %d has an empty name", group.kind, i+1)
			}
			if seen[name] {
				return fmt.Errorf("mesh: %s name %q is used twice", group.kind, name)
			}
			seen[name] = true
		}
	}
	return nil
}

// Service returns the index of the named service.
func (m Mesh) Service(name string) (int, error) {
	return index("service", name, m.ServiceNames())
}

// Node returns the index of the named node.
func (m Mesh) Node(name string) (int, error) {
	return index("node", name, m.NodeNames())
}

func index(kind, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("mesh: unknown %s %q; the mesh has %s", kind, name, strings.Join(names, ", "))
}

// String identifies the mesh: "service1,service2 on node1,node2". Files that
// only fit one mesh carry it.
func (m Mesh) String() string {
	return strings.Join(m.ServiceNames(), ",") + " on " + strings.Join(m.NodeNames(), ",")
}

// subscript is "1" or "12" for small meshes, "1_12" where digits would run
// together.
func (m Mesh) subscript(i, j int) string {
	if m.M() > 9 || m.N() > 9 {
		return fmt.Sprintf("%d_%d", i+1, j+1)
	}
	return fmt.Sprintf("%d%d", i+1, j+1)
}

// Column names of traces and models, as the published trace has them.

// LoadName is the column of l_i, for instance l1.
func (m Mesh) LoadName(i int) string { return fmt.Sprintf("l%d", i+1) }

// CarriedName is the column of the carried load of service i, for instance cl1.
func (m Mesh) CarriedName(i int) string { return fmt.Sprintf("cl%d", i+1) }

// BlockName is the column of b_i, for instance b1.
func (m Mesh) BlockName(i int) string { return fmt.Sprintf("b%d", i+1) }

// RouteName is the column of p_ij, for instance p11.
func (m Mesh) RouteName(i, j int) string { return "p" + m.subscript(i, j) }

// DelayName is the column of d_i, for instance d1.
func (m Mesh) DelayName(i int) string { return fmt.Sprintf("d%d", i+1) }

// NodeDelayName is the column of d_ij, for instance d12.
func (m Mesh) NodeDelayName(i, j int) string { return "d" + m.subscript(i, j) }
