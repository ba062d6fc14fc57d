package mesh

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestMesh(t *testing.T) {
	for _, c := range []struct {
		m        Mesh
		services string
		nodes    string
		text     string
	}{
		{Mesh{}, "service1 service2", "node1 node2", "service1,service2 on node1,node2"},
		{New(3, 1), "service1 service2 service3", "node1", "service1,service2,service3 on node1"},
		{Mesh{Services: []string{"a"}, Nodes: []string{"x", "y"}}, "a", "x y", "a on x,y"},
		{Mesh{Nodes: []string{"x"}}, "service1 service2", "x", "service1,service2 on x"},
	} {
		if got := strings.Join(c.m.ServiceNames(), " "); got != c.services || c.m.M() != len(strings.Fields(c.services)) {
			t.Errorf("services %q (%d), want %q", got, c.m.M(), c.services)
		}
		if got := strings.Join(c.m.NodeNames(), " "); got != c.nodes || c.m.N() != len(strings.Fields(c.nodes)) {
			t.Errorf("nodes %q (%d), want %q", got, c.m.N(), c.nodes)
		}
		if c.m.String() != c.text {
			t.Errorf("%q, want %q", c.m, c.text)
		}
		if err := c.m.Validate(); err != nil {
			t.Errorf("%s: %v", c.m, err)
		}
	}
}

func TestMeshErrors(t *testing.T) {
	_, noService := Mesh{}.Service("service3")
	_, noNode := New(1, 3).Node("n1")
	for _, c := range []struct {
		err   error
		words string
	}{
		{Mesh{Services: []string{"a", ""}}.Validate(), "service 2 has an empty name"},
		{Mesh{Nodes: []string{"a", "b", "a"}}.Validate(), `node name "a" is used twice`},
		{noService, `unknown service "service3"; the mesh has service1, service2`},
		{noNode, `unknown node "n1"; the mesh has node1, node2, node3`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.words) {
			t.Errorf("%v, want %q", c.err, c.words)
		}
	}
	if i, err := (Mesh{}).Service("service2"); i != 1 || err != nil {
		t.Errorf("service2 is %d, %v", i, err)
	}
	if j, err := New(1, 3).Node("node3"); j != 2 || err != nil {
		t.Errorf("node3 is %d, %v", j, err)
	}
}

func TestNames(t *testing.T) {
	small, wide := Mesh{}, New(2, 12)
	for _, c := range []struct{ got, want string }{
		{small.LoadName(0), "l1"}, {small.CarriedName(1), "cl2"}, {small.BlockName(1), "b2"}, {small.DelayName(0), "d1"},
		{small.RouteName(1, 0), "p21"}, {small.NodeDelayName(0, 1), "d12"},
		// Without the bar, p_1,11 and p_11,1 would be the same name.
		{wide.RouteName(0, 10), "p1_11"}, {wide.NodeDelayName(1, 0), "d2_1"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		m     Mesh
		names string
		a     Action
		load  Load
		want  []float64
	}{
		{Mesh{}, "l1 l2 p11 p21 b1 b2",
			Action{Route: []float64{.4, .6, 1, 0}, Block: []float64{0, .2}}, Load{5, 20},
			[]float64{5, 20, .4, 1, 0, .2}},
		{New(2, 3), "l1 l2 p11 p12 p21 p22 b1 b2",
			Action{Route: []float64{.2, .2, .6, 0, 1, 0}, Block: []float64{.8, 1}}, Load{1, 2},
			[]float64{1, 2, .2, .2, 0, 1, .8, 1}},
		{New(1, 1), "l1 b1", Action{Route: []float64{1}, Block: []float64{.5}}, Load{3}, []float64{3, .5}},
	} {
		if got := strings.Join(c.m.FeatureNames(), " "); got != c.names {
			t.Errorf("%s: %s, want %s", c.m, got, c.names)
		}
		if got := c.m.Features([]float64{-1}, c.load, c.a); !slices.Equal(got[1:], c.want) || got[0] != -1 {
			t.Errorf("%s: %v, want %v after -1", c.m, got, c.want)
		}
	}
}

func TestReaches(t *testing.T) {
	a := Action{Route: []float64{0, 1, .2, .8}, Block: []float64{0, 1}}
	for _, c := range []struct {
		load Load
		i, j int
		want bool
	}{
		{Load{5, 5}, 0, 0, false}, // no weight
		{Load{5, 5}, 0, 1, true},
		{Load{0, 5}, 0, 1, false}, // no load
		{Load{5, 5}, 1, 0, false}, // all blocked
	} {
		if got := (Mesh{}).Reaches(c.load, a, c.i, c.j); got != c.want {
			t.Errorf("service %d on node %d with %v: %v, want %v", c.i, c.j, c.load, got, c.want)
		}
	}
}

func TestNewMeasurementIsMissing(t *testing.T) {
	x := NewMeasurement(New(2, 3))
	for _, v := range slices.Concat(x.Generated, x.Carried, x.Blocked, x.Failed) {
		if !math.IsNaN(v) {
			t.Errorf("%v, want NaN", v)
		}
	}
	delays := slices.Concat(x.Service, x.Node)
	for _, d := range delays {
		if d.Count != 0 || !math.IsNaN(d.Mean+d.P50+d.P95+d.P99) {
			t.Errorf("%+v, want no delay", d)
		}
	}
	if len(x.Generated) != 2 || len(delays) != 8 {
		t.Errorf("%d services, %d delays", len(x.Generated), len(delays))
	}
}
