package mesh_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

func TestKnobErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		m     mesh.Mesh
		knobs []mesh.Knob
		words string
	}{
		{"no knob", mesh.New(2, 2), nil, "without a knob"},
		{"no mesh", mesh.Mesh{}, []mesh.Knob{{Kind: mesh.Route}}, "no service"},
		{"unknown kind", shop(), []mesh.Knob{{Kind: "colour"}}, `knob 1: unknown kind of knob "colour"; accepted: `},
		{"no kind", shop(), []mesh.Knob{{}}, `unknown kind of knob ""`},
		{"unknown service", shop(), []mesh.Knob{{Kind: mesh.Block, Service: "x"}}, "the mesh has no such part"},
		{"unknown call", shop(), []mesh.Knob{{Kind: mesh.Route, Service: "help", Call: "cart"}}, "the mesh has no such part"},
		{"unknown node", shop(), []mesh.Knob{{Kind: mesh.CPU, Node: "z", Min: 1, Max: 2}}, "the mesh has no such part"},
		{"a call for a service's", shop(), []mesh.Knob{{Kind: mesh.Block, Call: "cart"}}, `block has call "cart"; a knob of this kind belongs to a service`},
		{"a node for a call's", shop(), []mesh.Knob{{Kind: mesh.Route, Node: "a"}}, "belongs to a call"},
		{"a service for a node's", shop(), []mesh.Knob{{Kind: mesh.CPU, Service: "shop"}}, "belongs to a node"},
		{"twice", shop(), []mesh.Knob{{Kind: mesh.Block}, {Kind: mesh.Block, Service: "help"}}, "knob 2: block of help is there twice"},
		{"step", shop(), []mesh.Knob{{Kind: mesh.Block, Step: -1}}, "step -1"},
		{"up", shop(), []mesh.Knob{{Kind: mesh.Block, Up: math.NaN()}}, "up NaN"},
		{"down", shop(), []mesh.Knob{{Kind: mesh.Block, Down: math.Inf(1)}}, "down +Inf"},
		{"cost", shop(), []mesh.Knob{{Kind: mesh.Block, Cost: math.Inf(1)}}, "cost +Inf"},
		{"one level", shop(), []mesh.Knob{{Kind: mesh.Block, Levels: 1}}, "1 levels; accepted: 2 to 1001"},
		{"too many points", mesh.New(1, 9), []mesh.Knob{{Kind: mesh.Route, Levels: 101}}, "fewer levels"},
		{"no range", shop(), []mesh.Knob{{Kind: mesh.CPU}}, "min 0, max 0, by 0; accepted"},
		{"range backwards", shop(), []mesh.Knob{{Kind: mesh.CPU, Min: 3, Max: 2}}, "min 3, max 2"},
		{"endless range", shop(), []mesh.Knob{{Kind: mesh.CPU, Max: math.Inf(1)}}, "accepted: 0 <= min < max"},
		{"fine range", shop(), []mesh.Knob{{Kind: mesh.CPU, Max: 1e9, By: 1e-3}}, "at most 100000 points"},
		{"replicas in parts", shop(), []mesh.Knob{{Kind: mesh.Replicas, Max: 2, By: .5}}, "not a whole number"},
		{"points of none", shop(), []mesh.Knob{{Kind: mesh.Block, Points: [][]float64{}}}, "0 points"},
		{"point of two", shop(), []mesh.Knob{{Kind: mesh.Block, Points: [][]float64{{0, 1}}}}, "point [0 1] has 2 values; accepted: 1"},
		{"point that is none", shop(), []mesh.Knob{{Kind: mesh.Route, Call: "cart", Points: [][]float64{{.5, .4}}}}, "sum to 0.9"},
		{"huge points", shop(), []mesh.Knob{{Kind: mesh.CPU, Points: [][]float64{{1}, {1e8}}}}, "point [1e+08]; accepted: values from 0 to below 1e+08"},
		{"point twice", shop(), []mesh.Knob{{Kind: mesh.Block, Points: [][]float64{{.5}, {.5}}}}, "point [0.5] is there twice"},
	} {
		_, err := mesh.NewSpace(c.m, c.knobs...)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.name, err, c.words)
		}
	}
	// All that is wrong is listed.
	_, err := mesh.NewSpace(shop(), mesh.Knob{Kind: "x"}, mesh.Knob{Kind: mesh.Block, Levels: 1})
	if err == nil || !strings.Contains(err.Error(), "knob 1") || !strings.Contains(err.Error(), "knob 2") {
		t.Errorf("two knobs that are wrong: %v", err)
	}
}

func TestKnobsOfParts(t *testing.T) {
	for _, c := range []struct {
		k    mesh.Knob
		want string
	}{
		{mesh.Knob{Kind: mesh.Route}, "p1.1.1 p1.1.2 p1.2.1 p1.2.3 p1.3.3 p2.1.2 p2.1.3"},
		{mesh.Knob{Kind: mesh.Route, Call: "web"}, "p1.1.1 p1.1.2 p2.1.2 p2.1.3"},
		{mesh.Knob{Kind: mesh.Route, Service: "help"}, "p2.1.2 p2.1.3"},
		{mesh.Knob{Kind: mesh.Block}, "b1 b2"},
		{mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 2}, "r1 r2 r3"},
		{mesh.Knob{Kind: mesh.CPU, Node: "b", Min: 1, Max: 2}, "cpu2"},
	} {
		if got := strings.Join(must(t, shop(), c.k).Columns(), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.k, got, c.want)
		}
	}
}

// A kind of one's own, from outside of the package: how many requests a node
// takes at a time.
func init() {
	mesh.RegisterKind(mesh.KindInfo{
		Kind: "window", Scope: mesh.PerNode, Prefix: "w", Unit: "requests",
		Points: func(k mesh.Knob, _ int) ([][]float64, error) {
			if k.Max < 1 {
				return nil, fmt.Errorf("max %v; accepted: 1 or more", k.Max)
			}
			points := [][]float64{}
			for v := 1.; v <= k.Max; v *= 2 {
				points = append(points, []float64{v})
			}
			return points, nil
		},
		Default: func(k mesh.Knob, _ int) []float64 { return []float64{k.Max} },
		Check: func(v []float64) error {
			if !(v[0] >= 1 && v[0] <= 1024) {
				return fmt.Errorf("%v is outside [1, 1024]", v[0])
			}
			return nil
		},
	})
}

func TestRegisterKind(t *testing.T) {
	s := must(t, mesh.New(2, 2), mesh.Knob{Kind: mesh.Block}, mesh.Knob{Kind: "window", Node: "node2", Max: 16, Step: 1})
	if got := strings.Join(s.FeatureNames(), " "); got != "l1 l2 b1 b2 w2" || s.Len() != 6*6*5 {
		t.Errorf("features %s, %d actions", got, s.Len())
	}
	d := s.Default()
	if d[2] != 16 || s.Nearest(d)[2] != 4 {
		t.Errorf("default %v", d)
	}
	for k := range s.Len() {
		if got, ok := s.Index(s.At(k)); !ok || got != k {
			t.Fatalf("action %d has index %d, %v", k, got, ok)
		}
	}
	d[2] = 2000
	if err := s.Validate(d); err == nil || !strings.Contains(err.Error(), "w2 of node2: 2000 is outside [1, 1024]") {
		t.Error(err)
	}
	if _, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: "window"}); err == nil || !strings.Contains(err.Error(), "window of node1: max 0; accepted: 1 or more") {
		t.Error(err)
	}
	b, err := json.Marshal(s)
	var back mesh.Space
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil || !back.Same(s) || back.Len() != s.Len() {
		t.Errorf("reads back as %s, %v", &back, err)
	}
	if info, err := mesh.KindOf("window"); err != nil || info.Unit != "requests" {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := mesh.KindOf("x"); err == nil || !strings.Contains(err.Error(), "block, cpu, replicas, route, window") {
		t.Error(err)
	}
	for name, k := range map[string]mesh.KindInfo{
		"a kind that is there":   {Kind: mesh.Route, Prefix: "zz"},
		"a prefix that is there": {Kind: "other", Prefix: "w"},
		"no name":                {Prefix: "zz"},
		"no prefix":              {Kind: "other"},
	} {
		if !panics(func() { mesh.RegisterKind(k) }) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func TestJSONErrors(t *testing.T) {
	for text, words := range map[string]string{
		`{}`: "no service",
		`[]`: "cannot unmarshal",
		`{"mesh":{"nodes":[{"name":"a"}],"services":[{"name":"s","stages":[[{"microservice":"m","nodes":["a"]}]]}]}}`:                            "without a knob",
		`{"mesh":{"services":["s"],"nodes":["a"]},"knobs":[{"kind":"colour"}]}`:                                                                  "unknown kind",
		`{"mesh":{"services":["s"],"nodes":["a"]},"knobs":[{"kind":"block","levels":1}]}`:                                                        "1 levels",
		`{"mesh":{"services":["s"],"nodes":["a"]},"knobs":[{"kind":"block"},{"kind":"block"}]}`:                                                  "twice",
		`{"mesh":{"nodes":[{"name":"a"}],"services":[{"name":"s","stages":[[{"microservice":"m","nodes":["z"]}]]}]},"knobs":[{"kind":"block"}]}`: `unknown node "z"`,
	} {
		var s mesh.Space
		if err := json.Unmarshal([]byte(text), &s); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", text, err, words)
		}
	}
}

// Points stay in the order in which they are listed, and are told from each
// other also where they are close.
func TestListedPoints(t *testing.T) {
	points := [][]float64{{.7}, {.1}, {.100002}, {0}}
	s := must(t, mesh.New(1, 2), mesh.Knob{Kind: mesh.Block, Points: points})
	for u, p := range points {
		if k, ok := s.Index(p); !ok || k != u || !slices.Equal(s.At(u), p) {
			t.Errorf("point %v has index %d, %v", p, k, ok)
		}
	}
}

// Replicas take 30 s to start unless a knob says otherwise; that it takes none is
// kept in a file.
func TestStartUp(t *testing.T) {
	for up, want := range map[float64]float64{0: 30, 5: 5, -1: 0} {
		s := must(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 2, Up: up, Down: -1})
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back mesh.Space
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*mesh.Space{s, &back} {
			if k := s.Knobs()[0]; k.Up != want || k.Down != 0 {
				t.Errorf("up %v: %v s up, %v s down, want %v and 0", up, k.Up, k.Down, want)
			}
		}
	}
}
