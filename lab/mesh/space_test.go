package mesh_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

// must is the space of knobs that are known to be right.
func must(t testing.TB, m mesh.Mesh, knobs ...mesh.Knob) *mesh.Space {
	t.Helper()
	s, err := mesh.NewSpace(m, knobs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shopSpace(t testing.TB) *mesh.Space {
	return must(t, shop(), mesh.Knob{Kind: mesh.Route, Call: "web", Levels: 4}, mesh.Knob{Kind: mesh.Route, Call: "cart", Points: [][]float64{{1, 0}, {.25, .75}}},
		mesh.Knob{Kind: mesh.Block, Service: "help", Levels: 3}, mesh.Knob{Kind: mesh.Replicas, Node: "c", Min: 1, Max: 5, Step: 1, Up: 20, Down: 1, Cost: .5},
		mesh.Knob{Kind: mesh.CPU, Min: .5, Max: 2, By: .5})
}

func TestValidate(t *testing.T) {
	s := mesh.Grid(mesh.New(2, 3), 6)
	good := mesh.Action{.2, .3, .5, 0, 0, 1, 0, 1}
	if err := s.Validate(good); err != nil {
		t.Error(err)
	}
	thirds := good.Clone()
	copy(thirds, []float64{1. / 3, 1. / 3, 1. / 3})
	if err := s.Validate(thirds); err != nil {
		t.Errorf("thirds: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(a mesh.Action) mesh.Action
		words  string
	}{
		{"no values", func(a mesh.Action) mesh.Action { return nil }, "action of 0 values; service1,service2 on node1,node2,node3 takes 8: p11 p12 p13 p21"},
		{"a value too many", func(a mesh.Action) mesh.Action { return append(a, 0) }, "action of 9 values"},
		{"negative weight", func(a mesh.Action) mesh.Action { a[3], a[5] = -.2, 1.2; return a }, "p2 of service2: -0.2 is outside [0, 1]"},
		{"weight above 1", func(a mesh.Action) mesh.Action { a[1] = 1.5; return a }, "p1 of service1: 1.5"},
		{"weight not a number", func(a mesh.Action) mesh.Action { a[0] = math.NaN(); return a }, "p1 of service1: NaN"},
		{"sum above 1", func(a mesh.Action) mesh.Action { a[0] = .3; return a }, "sum to 1.1"},
		{"sum of 0", func(a mesh.Action) mesh.Action { a[5] = 0; return a }, "p2 of service2: the weights [0 0 0] sum to 0"},
		{"blocking above 1", func(a mesh.Action) mesh.Action { a[7] = 1.0001; return a }, "b2 of service2: 1.0001"},
		{"blocking not a number", func(a mesh.Action) mesh.Action { a[6] = math.NaN(); return a }, "b1 of service1: NaN"},
	} {
		if err := s.Validate(c.change(good.Clone())); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.name, err, c.words)
		}
	}
	if err := s.Validate(good); err != nil {
		t.Errorf("a clone shares its values: %v", err)
	}
	x := shopSpace(t)
	a := x.Default()
	h := x.Find(mesh.Replicas, 2)
	for value, words := range map[float64]string{2.5: "r3 of c: 2.5 is not a whole number", -1: "r3 of c: -1"} {
		a[x.Knobs()[h].First] = value
		if err := x.Validate(a); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v replicas: %v, want %q", value, err, words)
		}
	}
}

// The paper's space: four knobs of six points, the last running fastest.
func TestPaperSpace(t *testing.T) {
	s := mesh.Grid(mesh.New(2, 2), 0)
	if s.Len() != 1296 || s.Width() != 6 || !slices.Equal(s.Choices(), []int{6, 6, 6, 6}) {
		t.Fatalf("%d actions of %d values, choices %v", s.Len(), s.Width(), s.Choices())
	}
	k := 0
	for p11 := range 6 {
		for p21 := range 6 {
			for b1 := range 6 {
				for b2 := range 6 {
					a := s.At(k)
					got := []float64{a[0], a[2], a[4], a[5]}
					for c, u := range []int{p11, p21, b1, b2} {
						if math.Abs(got[c]-.2*float64(u)) > 1e-15 {
							t.Fatalf("action %d is %v", k, got)
						}
					}
					k++
				}
			}
		}
	}
}

func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		s    *mesh.Space
		size string
	}{
		{mesh.Grid(mesh.New(2, 2), 6), "1296"},
		{mesh.Grid(mesh.New(2, 2), 2), "16"},
		{mesh.Grid(mesh.New(1, 1), 6), "6"},
		{mesh.Grid(mesh.New(1, 3), 6), "126"},
		{mesh.Grid(mesh.New(3, 1), 3), "27"},
		{mesh.Grid(mesh.New(2, 4), 6), "112896"},
		{mesh.Grid(mesh.New(4, 2), 6), "1679616"},
		{mesh.Grid(mesh.New(3, 3), 6), "2000376"}, // too many to be kept
		{mesh.Grid(chain(), 6), "216"},
		{mesh.Grid(shop(), 3), "243"},
		{shopSpace(t), "30720"},
	} {
		s := c.s
		if s.Size() != c.size || fmt.Sprint(s.Len()) != c.size {
			t.Errorf("%s: %s actions (%d), want %s", s, s.Size(), s.Len(), c.size)
		}
		if len(s.Columns()) != s.Width() || len(s.Default()) != s.Width() {
			t.Errorf("%s: %d columns, width %d", s, len(s.Columns()), s.Width())
		}
		load := make(mesh.Load, s.Mesh().M())
		for k := 0; k < s.Len(); k += 1 + s.Len()/3000 {
			a := s.At(k)
			if err := s.Validate(a); err != nil {
				t.Fatalf("%s: action %d: %v", s, k, err)
			}
			choice := s.Choice(nil, k)
			for h := range choice {
				if choice[h] < 0 || choice[h] >= s.Choices()[h] {
					t.Fatalf("%s: action %d has choices %v of %v", s, k, choice, s.Choices())
				}
			}
			if got := s.FromChoice(choice); got != k {
				t.Fatalf("%s: choices %v of action %d give %d", s, choice, k, got)
			}
			if got, ok := s.Index(a); !ok || got != k {
				t.Fatalf("%s: action %d has index %d, %v", s, k, got, ok)
			}
			if got := s.Nearest(a); !slices.Equal(got, choice) {
				t.Fatalf("%s: the action nearest to action %d is %v, want %v", s, k, got, choice)
			}
			features := s.Features(nil, load, a)
			if len(features) != len(s.FeatureNames()) {
				t.Fatalf("%s: %d features, %d names", s, len(features), len(s.FeatureNames()))
			}
			if l, back := s.Split(features); len(l) != len(load) || Distance(back, a) > 1e-20 {
				t.Fatalf("%s: action %v from its features is %v", s, a, back)
			}
		}
		b, err := json.Marshal(s)
		var back mesh.Space
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		again, _ := json.Marshal(&back)
		if !s.Same(&back) || back.Size() != s.Size() || !bytes.Equal(b, again) || bytes.ContainsAny(b, "\n") {
			t.Errorf("%s reads back as %s of %s actions", s, &back, back.Size())
		}
		for h, k := range s.Knobs() {
			x := back.Knobs()[h]
			if x.Name != k.Name || x.Of != k.Of || x.Step != k.Step || x.Up != k.Up || x.Cost != k.Cost || x.Default != k.Default || fmt.Sprint(x.Points) != fmt.Sprint(k.Points) {
				t.Errorf("%s: knob %s reads back as %+v, want %+v", s, k.Name, x, k)
			}
		}
	}
}

func TestSame(t *testing.T) {
	a := mesh.Grid(mesh.New(2, 2), 6)
	for _, c := range []struct {
		b    *mesh.Space
		want bool
	}{
		{a, true},
		{mesh.Grid(mesh.New(2, 2), 11), true}, // whatever the points are
		{mesh.Grid(mesh.New(2, 3), 6), false},
		{must(t, mesh.New(2, 2), mesh.Knob{Kind: mesh.Block}, mesh.Knob{Kind: mesh.Route}), false},
		{must(t, mesh.New(2, 2), mesh.Knob{Kind: mesh.Route}), false},
		{mesh.Grid(mesh.Single([]string{"service1", "x"}, []string{"node1", "node2"}), 6), false},
	} {
		if a.Same(c.b) != c.want {
			t.Errorf("%s the same as %s: %v", a, c.b, !c.want)
		}
	}
}

func TestIndexOffTheGrid(t *testing.T) {
	two, three := mesh.Grid(mesh.New(2, 2), 0), mesh.Grid(mesh.New(1, 3), 0)
	for _, c := range []struct {
		name string
		s    *mesh.Space
		a    mesh.Action
	}{
		{"weight", two, mesh.Action{.5, .5, 0, 1, 0, 0}},
		{"blocking", two, mesh.Action{.4, .6, 0, 1, 0, .3}},
		{"sum", two, mesh.Action{.4, .4, 0, 1, 0, 0}},
		{"sum of three", three, mesh.Action{.4, .4, .4, 0}},
		{"NaN", two, mesh.Action{math.NaN(), 1, 0, 1, 0, 0}},
		{"infinite", two, mesh.Action{0, 1, 0, 1, 0, math.Inf(1)}},
		{"above 1", two, mesh.Action{0, 1, 0, 1, 0, 1.2}},
		{"negative", two, mesh.Action{-.2, 1.2, 0, 1, 0, 0}},
		{"another mesh", three, mesh.Action{0, 1, 0, 1, 0, 0}},
		{"nothing", two, nil},
	} {
		if k, ok := c.s.Index(c.a); ok {
			t.Errorf("%s: %v has index %d", c.name, c.a, k)
		}
	}
	// Decimal fractions as a file has them, and sums of them, are on the grid.
	for _, a := range []mesh.Action{{.6, .4, .8, .2, .6, .2}, {.2 + .2 + .2, 1 - .6, 1 - .2, .1 + .1, .3 * 2, .2}} {
		if k, ok := two.Index(a); !ok || k != 3*216+4*36+3*6+1 {
			t.Errorf("%v has index %d, %v", a, k, ok)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		s       *mesh.Space
		a, want mesh.Action
	}{
		{mesh.Grid(mesh.New(2, 2), 0), mesh.Action{.47, .53, .95, .05, .09, .31}, mesh.Action{.4, .6, 1, 0, 0, .4}},
		// Thirds: 5 units in shares of 1.67; the first two are rounded up.
		{mesh.Grid(mesh.New(1, 3), 0), mesh.Action{1. / 3, 1. / 3, 1. / 3, 1}, mesh.Action{.4, .4, .2, 1}},
		{mesh.Grid(mesh.New(1, 4), 0), mesh.Action{.25, .25, .19, .31, .5}, mesh.Action{.2, .2, .2, .4, .6}},
		{must(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 9, By: 2}), mesh.Action{100}, mesh.Action{9}},
		{must(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 9, By: 2}), mesh.Action{4}, mesh.Action{5}},
	} {
		got := c.s.Action(nil, c.s.Nearest(c.a))
		if Distance(got, c.want) > 1e-20 {
			t.Errorf("nearest to %v is %v, want %v", c.a, got, c.want)
		}
	}
}

// Nearest is what the name says: no action of the space is closer.
func TestNearestIsClosest(t *testing.T) {
	s := mesh.Grid(mesh.New(1, 3), 4)
	for p := 0.; p <= 1; p += .07 {
		for q := 0.; p+q <= 1; q += .09 {
			a := mesh.Action{p, q, 1 - p - q, .4}
			best := math.Inf(1)
			for k := range s.Len() {
				best = min(best, Distance(a, s.At(k)))
			}
			if got := Distance(a, s.Action(nil, s.Nearest(a))); got > best+1e-9 {
				t.Errorf("%v: distance %v, an action at %v is there", a, got, best)
			}
		}
	}
}

func Distance(a, b mesh.Action) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	sum := 0.0
	for k := range a {
		sum += (a[k] - b[k]) * (a[k] - b[k])
	}
	return sum
}

// A space of more actions than an int can count has choices all the same.
func TestSpaceBeyondInt(t *testing.T) {
	s := mesh.Grid(mesh.New(20, 3), 6)
	if s.Len() != math.MaxInt || s.Size() != "1.02e+42" {
		t.Errorf("%d actions, %s", s.Len(), s.Size())
	}
	random := rand.New(rand.NewPCG(1, 1))
	choice := make([]int, len(s.Choices()))
	for range 200 {
		for h, n := range s.Choices() {
			choice[h] = random.IntN(n)
		}
		a := s.Action(nil, choice)
		if got, ok := s.ChoiceOf(nil, a); !ok || !slices.Equal(got, choice) || !slices.Equal(s.Nearest(a), choice) {
			t.Fatalf("choice %v of action %v is %v", choice, a, got)
		}
	}
	b, _ := json.Marshal(s)
	var back mesh.Space
	if err := json.Unmarshal(b, &back); err != nil || back.Size() != s.Size() {
		t.Errorf("reads back as %s, %v", back.Size(), err)
	}
	for name, f := range map[string]func(){
		"an action by its number": func() { s.At(0) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		s     *mesh.Space
		names string
		a     mesh.Action
		load  mesh.Load
		want  []float64
	}{
		{mesh.Grid(mesh.New(2, 2), 0), "l1 l2 p11 p21 b1 b2", mesh.Action{.4, .6, 1, 0, 0, .2}, mesh.Load{5, 20}, []float64{5, 20, .4, 1, 0, .2}},
		{mesh.Grid(mesh.New(2, 3), 0), "l1 l2 p11 p12 p21 p22 b1 b2", mesh.Action{.2, .2, .6, 0, 1, 0, .8, 1}, mesh.Load{1, 2}, []float64{1, 2, .2, .2, 0, 1, .8, 1}},
		{mesh.Grid(mesh.New(1, 1), 0), "l1 b1", mesh.Action{1, .5}, mesh.Load{3}, []float64{3, .5}},
		{must(t, chain(), mesh.Knob{Kind: mesh.Block}, mesh.Knob{Kind: mesh.Route, Call: "middle"}, mesh.Knob{Kind: mesh.Replicas, Node: "y", Min: 1, Max: 3}),
			"l1 b1 p1.2.1 r2", mesh.Action{.2, .4, .6, 2}, mesh.Load{3}, []float64{3, .2, .4, 2}},
	} {
		if got := strings.Join(c.s.FeatureNames(), " "); got != c.names {
			t.Errorf("%s: %s, want %s", c.s, got, c.names)
		}
		if got := c.s.Features([]float64{-1}, c.load, c.a); !slices.Equal(got[1:], c.want) || got[0] != -1 {
			t.Errorf("%s: %v, want %v after -1", c.s, got, c.want)
		}
	}
}

func TestReaches(t *testing.T) {
	s := mesh.Grid(mesh.New(2, 2), 0)
	a := mesh.Action{0, 1, .2, .8, 0, 1}
	for _, c := range []struct {
		load mesh.Load
		e    int
		want bool
	}{
		{mesh.Load{5, 5}, 0, false}, // no weight
		{mesh.Load{5, 5}, 1, true},
		{mesh.Load{0, 5}, 1, false}, // no load
		{mesh.Load{5, 5}, 2, false}, // all blocked
	} {
		if got := s.Reaches(c.load, a, c.e); got != c.want {
			t.Errorf("endpoint %d with %v: %v, want %v", c.e, c.load, got, c.want)
		}
	}
	// A call without a knob is spread evenly, a service without one not blocked.
	x := shopSpace(t)
	d := x.Default()
	if got := x.RouteOf(d, 2); !slices.Equal(got, []float64{1}) || x.BlockOf(d, 0) != 0 || !x.Reaches(mesh.Load{1, 1}, d, 4) {
		t.Errorf("price is routed by %v, shop blocked by %v", got, x.BlockOf(d, 0))
	}
	blocks := must(t, mesh.New(1, 4), mesh.Knob{Kind: mesh.Block})
	if got := blocks.RouteOf(blocks.Default(), 0); !slices.Equal(got, []float64{.25, .25, .25, .25}) {
		t.Errorf("without a knob the weights are %v", got)
	}
	if got := s.Format(a); got != "p11=0 p21=0.2 b1=0 b2=1" {
		t.Errorf("formatted as %s", got)
	}
}

func TestDefaultCostAndValue(t *testing.T) {
	x := shopSpace(t)
	d := x.Default()
	if err := x.Validate(d); err != nil {
		t.Fatal(err)
	}
	if v := x.Value(d, mesh.Replicas, 2, -1); v != 1 {
		t.Errorf("%v replicas by default", v)
	}
	if v := x.Value(d, mesh.Replicas, 0, 7); v != 7 {
		t.Errorf("a knob that is not there has value %v", v)
	}
	if v := x.Value(d, mesh.CPU, 1, -1); v != 1 {
		t.Errorf("%v cores by default", v)
	}
	if c := x.Cost(d); c != .5 {
		t.Errorf("cost %v of one replica at .5", c)
	}
}

func TestAllowed(t *testing.T) {
	x := shopSpace(t)
	h := x.Find(mesh.Replicas, 2)
	knob := x.Knobs()[h]
	a := x.Default()
	for _, c := range []struct {
		value float64
		want  string
	}{{1, "[true true false false false]"}, {3, "[false true true true false]"}, {5, "[false false false true true]"}} {
		a[knob.First] = c.value
		got := make([]bool, len(knob.Points))
		if x.Allowed(got, h, a); fmt.Sprint(got) != c.want {
			t.Errorf("from %v: %v, want %s", c.value, got, c.want)
		}
		if x.Allowed(got, h, nil); slices.Contains(got, false) {
			t.Errorf("from nowhere: %v", got)
		}
	}
	free := make([]bool, x.Choices()[0])
	if x.Allowed(free, 0, a); slices.Contains(free, false) {
		t.Errorf("a knob without a step: %v", free)
	}
}

func TestMistakesPanic(t *testing.T) {
	s := mesh.Grid(mesh.New(2, 2), 0)
	for name, f := range map[string]func(){
		"no service":         func() { mesh.New(0, 2) },
		"no node":            func() { mesh.New(2, 0) },
		"one level":          func() { mesh.Grid(mesh.New(2, 2), 1) },
		"no mesh":            func() { mesh.Grid(mesh.Mesh{}, 2) },
		"action below":       func() { s.At(-1) },
		"action beyond":      func() { s.At(1296) },
		"choices too few":    func() { s.FromChoice([]int{0, 0, 0}) },
		"choice beyond":      func() { s.FromChoice([]int{0, 6, 0, 0}) },
		"action of too few":  func() { s.Action(nil, []int{0}) },
		"action of beyond":   func() { s.Action(nil, []int{0, 0, 0, -1}) },
		"nearest to nothing": func() { s.Nearest(mesh.Action{}) },
		"nearest to sum 2":   func() { s.Nearest(mesh.Action{1, 1, 1, 0, 0, 0}) },
	} {
		if !panics(f) {
			t.Errorf("%s: no panic that says it is the mesh's", name)
		}
	}
}

// panics reports whether f panics with a text of this package.
func panics(f func()) (yes bool) {
	defer func() {
		s, ok := recover().(string)
		yes = ok && strings.HasPrefix(s, "mesh: ")
	}()
	f()
	return false
}
