package mesh_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

// shop is a graph: two services, one of two stages of which the second makes two
// calls in parallel; both call web.
func shop() mesh.Mesh {
	return mesh.Mesh{
		Nodes: []mesh.Node{{Name: "a"}, {Name: "b", Speed: 2}, {Name: "c"}},
		Services: []mesh.Service{
			{Name: "shop", Stages: []mesh.Stage{
				{{Microservice: "web", Nodes: []string{"a", "b"}}},
				{{Microservice: "cart", Nodes: []string{"a", "c"}}, {Microservice: "price", Nodes: []string{"c"}}},
			}},
			{Name: "help", Stages: []mesh.Stage{{{Microservice: "web", Nodes: []string{"b", "c"}}}}},
		},
	}
}

// chain is one service of three stages on two nodes.
func chain() mesh.Mesh {
	both := []string{"x", "y"}
	return mesh.Mesh{Nodes: []mesh.Node{{Name: "x"}, {Name: "y"}}, Services: []mesh.Service{{Name: "path", Stages: []mesh.Stage{
		{{Microservice: "front", Nodes: both}}, {{Microservice: "middle", Nodes: both}}, {{Microservice: "back", Nodes: []string{"y"}}},
	}}}}
}

func TestMesh(t *testing.T) {
	for _, c := range []struct {
		m        mesh.Mesh
		services string
		nodes    string
		text     string
	}{
		{mesh.New(2, 2), "service1 service2", "node1 node2", "service1,service2 on node1,node2"},
		{mesh.New(3, 1), "service1 service2 service3", "node1", "service1,service2,service3 on node1"},
		{mesh.Single([]string{"a"}, []string{"x", "y"}), "a", "x y", "a on x,y"},
		{shop(), "shop help", "a b c", "shop: web(a,b) > cart(a,c) + price(c); help: web(b,c) on a,b,c"},
		{chain(), "path", "x y", "path: front(x,y) > middle(x,y) > back(y) on x,y"},
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
		b, err := json.Marshal(c.m)
		var back mesh.Mesh
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || back.String() != c.m.String() || back.Speed(0) != 1 {
			t.Errorf("%s: reads back as %s, %v", c.m, back, err)
		}
	}
	if s := shop(); s.Speed(0) != 1 || s.Speed(1) != 2 {
		t.Errorf("speeds %v and %v", s.Speed(0), s.Speed(1))
	}
	var names mesh.Mesh
	if err := json.Unmarshal([]byte(`{"services":["a","b"],"nodes":["x"]}`), &names); err != nil || names.String() != "a,b on x" {
		t.Errorf("a mesh of names: %s, %v", names, err)
	}
}

func TestMeshErrors(t *testing.T) {
	_, noService := mesh.New(2, 2).Service("service3")
	_, noNode := mesh.New(1, 3).Node("n1")
	change := func(f func(m *mesh.Mesh)) error {
		m := shop()
		f(&m)
		return m.Validate()
	}
	for _, c := range []struct {
		err   error
		words string
	}{
		{mesh.Mesh{}.Validate(), "no service"},
		{mesh.Mesh{}.Validate(), "no node"},
		{mesh.Single([]string{"a", ""}, []string{"x"}).Validate(), "service 2 has an empty name"},
		{mesh.Single([]string{"a"}, []string{"a", "b", "a"}).Validate(), `node name "a" is used twice`},
		{mesh.Single([]string{"a", "a"}, []string{"x"}).Validate(), `service name "a" is used twice`},
		{mesh.Single([]string{"a"}, []string{""}).Validate(), "node 1 has an empty name"},
		{change(func(m *mesh.Mesh) { m.Nodes[1].Speed = -1 }), `node "b" has speed -1`},
		{change(func(m *mesh.Mesh) { m.Nodes[1].Speed = math.Inf(1) }), "speed +Inf"},
		{change(func(m *mesh.Mesh) { m.Nodes[1].Speed = math.NaN() }), "speed NaN"},
		{change(func(m *mesh.Mesh) { m.Services[1].Stages = nil }), `service "help" has no stage`},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1] = nil }), `stage 2 of service "shop" makes no call`},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1][0].Microservice = "" }), "has no microservice"},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1][0].Microservice = "web" }), `calls "web" twice`},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1][0].Nodes = nil }), `"cart" in service "shop" has no node`},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1][0].Nodes = []string{"z"} }), `unknown node "z"; the mesh has a, b, c`},
		{change(func(m *mesh.Mesh) { m.Services[0].Stages[1][0].Nodes = []string{"a", "a"} }), `names node "a" twice`},
		{noService, `unknown service "service3"; the mesh has service1, service2`},
		{noNode, `unknown node "n1"; the mesh has node1, node2, node3`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.words) {
			t.Errorf("%v, want %q", c.err, c.words)
		}
	}
	if i, err := mesh.New(2, 2).Service("service2"); i != 1 || err != nil {
		t.Errorf("service2 is %d, %v", i, err)
	}
	if j, err := mesh.New(1, 3).Node("node3"); j != 2 || err != nil {
		t.Errorf("node3 is %d, %v", j, err)
	}
}

func TestNames(t *testing.T) {
	small, wide := mesh.New(2, 2), mesh.New(2, 12)
	for _, c := range []struct{ got, want string }{
		{small.LoadName(0), "l1"}, {small.CarriedName(1), "cl2"}, {small.DelayName(0), "d1"},
		{strings.Join(small.Layout().DelayNames(), " "), "d11 d12 d21 d22"},
		{small.Layout().EndpointName("p", 2), "p21"},
		// Without the bar, p_1,11 and p_11,1 would be the same name.
		{wide.Layout().EndpointName("p", 10), "p1_11"}, {wide.Layout().EndpointName("d", 12), "d2_1"},
		{strings.Join(shop().Layout().DelayNames(), " "), "d1.1.1 d1.1.2 d1.2.1 d1.2.3 d1.3.3 d2.1.2 d2.1.3"},
		{shop().Layout().CallName(1), "shop: cart"}, {small.Layout().CallName(1), "service2"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestLayout(t *testing.T) {
	l := shop().Layout()
	if len(l.Calls) != 4 || len(l.Endpoints) != 7 || !slices.Equal(l.Microservices, []string{"web", "cart", "price"}) {
		t.Fatalf("%d calls, %d endpoints, microservices %v", len(l.Calls), len(l.Endpoints), l.Microservices)
	}
	if !slices.Equal(l.Stages[0][0], []int{0}) || !slices.Equal(l.Stages[0][1], []int{1, 2}) || !slices.Equal(l.Stages[1][0], []int{3}) {
		t.Errorf("stages %v", l.Stages)
	}
	for e, at := range l.Endpoints {
		first, end := l.Of(at.Call)
		if e < first || e >= end || l.Endpoint(at.Call, at.Node) != e {
			t.Errorf("endpoint %d is %+v, of call's %d to %d", e, at, first, end)
		}
	}
	if l.Endpoint(0, 2) != -1 || l.CallOf(0, "price") != 2 || l.CallOf(1, "web") != 3 || l.CallOf(1, "cart") != -1 {
		t.Error("calls are not where they are")
	}
	if l.Calls[0].Microservice != l.Calls[3].Microservice {
		t.Error("both services call web")
	}
}

func TestNewMeasurementIsMissing(t *testing.T) {
	for _, c := range []struct {
		m         mesh.Mesh
		endpoints int
	}{{mesh.New(2, 3), 6}, {shop(), 7}} {
		x := mesh.NewMeasurement(c.m.Layout())
		for _, v := range slices.Concat(x.Generated, x.Carried, x.Blocked, x.Failed) {
			if !math.IsNaN(v) {
				t.Errorf("%v, want NaN", v)
			}
		}
		for _, d := range slices.Concat(x.Service, x.Endpoint) {
			if d.Count != 0 || !math.IsNaN(d.Mean+d.P50+d.P95+d.P99) {
				t.Errorf("%+v, want no delay", d)
			}
		}
		if len(x.Generated) != 2 || len(x.Service) != 2 || len(x.Endpoint) != c.endpoints {
			t.Errorf("%d services, %d and %d delays", len(x.Generated), len(x.Service), len(x.Endpoint))
		}
		y := x.Clone()
		y.Carried[0], y.Endpoint[0].Mean = 1, 1
		if x.Carried[0] == 1 || x.Endpoint[0].Mean == 1 {
			t.Error("a clone shares its slices")
		}
	}
}
