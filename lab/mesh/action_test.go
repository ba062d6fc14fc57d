package mesh

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestActionValidate(t *testing.T) {
	m := New(2, 3)
	good := Action{Route: []float64{.2, .3, .5, 0, 0, 1}, Block: []float64{0, 1}}
	if err := good.Validate(m); err != nil {
		t.Error(err)
	}
	thirds := good.Clone()
	copy(thirds.Route, []float64{1. / 3, 1. / 3, 1. / 3})
	if err := thirds.Validate(m); err != nil {
		t.Errorf("thirds: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(a *Action)
		words  string
	}{
		{"no weights", func(a *Action) { a.Route = nil }, "0 weights and 2 blocking rates; service1,service2 on node1,node2,node3 takes 6 and 2"},
		{"a blocking rate too many", func(a *Action) { a.Block = append(a.Block, 0) }, "3 blocking rates"},
		{"negative weight", func(a *Action) { a.Route[3], a.Route[5] = -.2, 1.2 }, "p21 is -0.2, outside [0, 1]"},
		{"weight above 1", func(a *Action) { a.Route[1] = 1.5 }, "p12 is 1.5"},
		{"weight not a number", func(a *Action) { a.Route[0] = math.NaN() }, "p11 is NaN"},
		{"sum above 1", func(a *Action) { a.Route[0] = .3 }, "the weights of service1 sum to 1.1"},
		{"sum of 0", func(a *Action) { a.Route[5] = 0 }, "the weights of service2 sum to 0"},
		{"blocking above 1", func(a *Action) { a.Block[1] = 1.0001 }, "b2 is 1.0001"},
		{"blocking not a number", func(a *Action) { a.Block[0] = math.NaN() }, "b1 is NaN"},
	} {
		a := good.Clone()
		c.change(&a)
		if err := a.Validate(m); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.name, err, c.words)
		}
	}
	if err := good.Validate(m); err != nil {
		t.Errorf("a clone shares its slices: %v", err)
	}
}

// The paper's space: four components of six levels, the last running fastest.
func TestPaperSpace(t *testing.T) {
	s := NewSpace(Mesh{}, 0)
	if s.Len() != 1296 || s.Levels() != 6 || !slices.Equal(s.Heads(), []int{6, 6, 6, 6}) {
		t.Fatalf("%d actions of %d levels, heads %v", s.Len(), s.Levels(), s.Heads())
	}
	k := 0
	for p11 := range 6 {
		for p21 := range 6 {
			for b1 := range 6 {
				for b2 := range 6 {
					a := s.At(k)
					got := []float64{a.Route[0], a.Route[2], a.Block[0], a.Block[1]}
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

func TestSpaceRoundTrips(t *testing.T) {
	for _, c := range []struct {
		m      Mesh
		levels int
		size   int
	}{
		{Mesh{}, 6, 1296},
		{Mesh{}, 2, 16},
		{New(1, 1), 6, 6},
		{New(3, 1), 3, 27},
		{New(2, 3), 3, 6 * 6 * 9},
		{New(1, 4), 6, 56 * 6},
		{New(3, 3), 6, 21 * 21 * 21 * 216}, // too many to be kept
	} {
		s := NewSpace(c.m, c.levels)
		if s.Len() != c.size {
			t.Errorf("%s, %d levels: %d actions, want %d", c.m, c.levels, s.Len(), c.size)
		}
		for k := 0; k < s.Len(); k += 1 + s.Len()/5000 {
			a := s.At(k)
			if err := a.Validate(c.m); err != nil {
				t.Fatalf("%s: action %d: %v", c.m, k, err)
			}
			choice := s.Choice(nil, k)
			for h := range choice {
				if choice[h] < 0 || choice[h] >= s.Heads()[h] {
					t.Fatalf("%s: action %d has choices %v of %v", c.m, k, choice, s.Heads())
				}
			}
			if got := s.FromChoice(choice); got != k {
				t.Fatalf("%s: choices %v of action %d give %d", c.m, choice, k, got)
			}
			if got, ok := s.Index(a); !ok || got != k {
				t.Fatalf("%s: action %d has index %d, %v", c.m, k, got, ok)
			}
			if got := s.Nearest(a); got != k {
				t.Fatalf("%s: the action nearest to action %d is %d", c.m, k, got)
			}
		}
	}
}

func TestIndexOffTheGrid(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Mesh
		a    Action
	}{
		{"weight", Mesh{}, Action{Route: []float64{.5, .5, 0, 1}, Block: []float64{0, 0}}},
		{"blocking", Mesh{}, Action{Route: []float64{.4, .6, 0, 1}, Block: []float64{0, .3}}},
		{"sum", Mesh{}, Action{Route: []float64{.4, .4, 0, 1}, Block: []float64{0, 0}}},
		{"sum of three", New(1, 3), Action{Route: []float64{.4, .4, .4}, Block: []float64{0}}},
		{"NaN", Mesh{}, Action{Route: []float64{math.NaN(), 1, 0, 1}, Block: []float64{0, 0}}},
		{"above 1", Mesh{}, Action{Route: []float64{0, 1, 0, 1}, Block: []float64{0, 1.2}}},
		{"another mesh", New(1, 2), Action{Route: []float64{0, 1, 0, 1}, Block: []float64{0, 0}}},
	} {
		if k, ok := NewSpace(c.m, 0).Index(c.a); ok {
			t.Errorf("%s: %v has index %d", c.name, c.a, k)
		}
	}
	// Decimal fractions as a file has them are on the grid.
	a := Action{Route: []float64{.6, .4, .8, .2}, Block: []float64{.6, .2}}
	if k, ok := NewSpace(Mesh{}, 0).Index(a); !ok || k != 3*216+4*36+3*6+1 {
		t.Errorf("%v has index %d, %v", a, k, ok)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		m    Mesh
		a    Action
		want Action
	}{
		{Mesh{}, Action{Route: []float64{.47, .53, .95, .05}, Block: []float64{.09, .31}},
			Action{Route: []float64{.4, .6, 1, 0}, Block: []float64{0, .4}}},
		// Thirds: 5 units in shares of 1.67; the first two are rounded up.
		{New(1, 3), Action{Route: []float64{1. / 3, 1. / 3, 1. / 3}, Block: []float64{1}},
			Action{Route: []float64{.4, .4, .2}, Block: []float64{1}}},
		{New(1, 4), Action{Route: []float64{.25, .25, .19, .31}, Block: []float64{.5}},
			Action{Route: []float64{.2, .2, .2, .4}, Block: []float64{.6}}},
	} {
		s := NewSpace(c.m, 0)
		got := s.At(s.Nearest(c.a))
		for k, p := range c.want.Route {
			if math.Abs(got.Route[k]-p) > 1e-12 {
				t.Errorf("%v: weights %v, want %v", c.a, got.Route, c.want.Route)
				break
			}
		}
		for i, b := range c.want.Block {
			if math.Abs(got.Block[i]-b) > 1e-12 {
				t.Errorf("%v: blocking %v, want %v", c.a, got.Block, c.want.Block)
			}
		}
	}
}

// Nearest is what the name says: no action of the space is closer.
func TestNearestIsClosest(t *testing.T) {
	s := NewSpace(New(1, 3), 4)
	for p := 0.; p <= 1; p += .07 {
		for q := 0.; p+q <= 1; q += .09 {
			a := Action{Route: []float64{p, q, 1 - p - q}, Block: []float64{.4}}
			best := math.Inf(1)
			for k := range s.Len() {
				best = min(best, distance(a, s.At(k)))
			}
			if got := distance(a, s.At(s.Nearest(a))); got > best+1e-9 {
				t.Errorf("%v: distance %v, an action at %v is there", a, got, best)
			}
		}
	}
}

func distance(a, b Action) float64 {
	sum := 0.0
	for k := range a.Route {
		sum += (a.Route[k] - b.Route[k]) * (a.Route[k] - b.Route[k])
	}
	for i := range a.Block {
		sum += (a.Block[i] - b.Block[i]) * (a.Block[i] - b.Block[i])
	}
	return sum
}

func TestMistakesPanic(t *testing.T) {
	s := NewSpace(Mesh{}, 0)
	for name, f := range map[string]func(){
		"no service":         func() { New(0, 2) },
		"no node":            func() { New(2, 0) },
		"one level":          func() { NewSpace(Mesh{}, 1) },
		"too many actions":   func() { NewSpace(New(20, 3), 6) },
		"action below":       func() { s.At(-1) },
		"action beyond":      func() { s.At(1296) },
		"choices too few":    func() { s.FromChoice([]int{0, 0, 0}) },
		"choice beyond":      func() { s.FromChoice([]int{0, 6, 0, 0}) },
		"nearest to nothing": func() { s.Nearest(Action{}) },
		"nearest to sum 2":   func() { s.Nearest(Action{Route: []float64{1, 1, 1, 0}, Block: []float64{0, 0}}) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(r.(string), "mesh: ") {
					t.Errorf("%s: %v", name, r)
				}
			}()
			f()
		}()
	}
}
