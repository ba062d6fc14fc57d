package mesh

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// limited is a mesh of three nodes within limits on replicas and cores.
func limited(t *testing.T, step int) *Space {
	t.Helper()
	m := New(1, 3)
	s, err := NewSpace(m, Knob{Kind: Block, Levels: 3}, Knob{Kind: Replicas, Min: 1, Max: 3, Step: step}, Knob{Kind: CPU, Min: 1, Max: 2, By: .5})
	if err == nil {
		s, err = s.Limited(Limit{Kind: Replicas, Most: 5}, Limit{Kind: CPU, Of: m.NodeNames()[1:], Most: 3})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// within says by the values themselves whether an action is within limited's limits.
func within(s *Space, a Action) bool {
	r, c := 0.0, 0.0
	for j := range 3 {
		r += s.Value(a, Replicas, j, 0)
		if j > 0 {
			c += s.Value(a, CPU, j, 0)
		}
	}
	return r <= 5 && c <= 3
}

// What is allowed is what the sums of values say, whoever asks: by choice, number,
// values, knob after knob, and from where increments begin.
func TestLimits(t *testing.T) {
	for _, step := range []int{0, 1} {
		s := limited(t, step)
		free, err := NewSpace(s.Mesh(), s.specs()...)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for k := range s.Len() {
			choice, a := s.Choice(nil, k), s.At(k)
			want := within(s, a)
			if want {
				n++
			}
			if s.Fits(choice) != want || s.FitsAt(k) != want || s.Within(a) != want || (s.Validate(a) == nil) != want || s.ValidateInForce(a) != nil {
				t.Fatalf("%s: %v %v %v %v, want %v", s.Format(a), s.Fits(choice), s.FitsAt(k), s.Within(a), s.Validate(a), want)
			}
			fitted := s.Fit(slices.Clone(choice))
			if !s.Fits(fitted) || want && !slices.Equal(fitted, choice) {
				t.Fatalf("%s is made %s", s.Format(a), s.Format(s.Action(nil, fitted)))
			}
			if near := s.Nearest(a); !slices.Equal(near, fitted) {
				t.Fatalf("nearest to %s is %v, not %v", s.Format(a), near, fitted)
			}
		}
		if len(s.Numbers()) != n || s.Size() == free.Size() {
			t.Errorf("%d numbers, size %s; want %d", len(s.Numbers()), s.Size(), n)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 30 {
			at := s.At(s.Numbers()[rng.IntN(n)])
			allowed := s.AllowedIn(State{InForce: at})
			// Every beginning of a choice that can be completed, and no other.
			begins := map[string]bool{}
			for _, k := range s.Numbers() {
				if choice := s.Choice(nil, k); allowed.Has(choice) {
					for h := range choice {
						begins[string(key(choice[:h+1]))] = true
					}
				}
			}
			for h, points := range s.Choices() {
				for u := range points {
					if allowed.Points[h][u] != free.AllowedIn(State{InForce: at}).Points[h][u] {
						t.Fatalf("points of %s", s.Knobs()[h].Name)
					}
				}
			}
			for range 50 {
				choice := []int{}
				for h, points := range s.Choices() {
					flags := allowed.Given(make([]bool, points), choice)
					for u, ok := range flags {
						if ok != begins[string(key(append(slices.Clone(choice), u)))] {
							t.Fatalf("from %s, after %v point %d of knob %d: %v", s.Format(at), choice, u, h, ok)
						}
					}
					u := rng.IntN(points)
					for !flags[u] {
						u = rng.IntN(points)
					}
					choice = append(choice, u)
				}
				to := s.At(rng.IntN(s.Len()))
				if got := s.Reach(at, to); !s.Within(got) || within(s, to) && step == 0 && !slices.Equal(got, to) {
					t.Fatalf("from %s towards %s: %s", s.Format(at), s.Format(to), s.Format(got))
				}
			}
		}
		// What somebody else left over a limit can be left.
		over := s.At(s.Len() - 1)
		if allowed := s.AllowedIn(State{InForce: over}); within(s, over) || !slices.ContainsFunc(s.Numbers(), func(k int) bool { return allowed.Has(s.Choice(nil, k)) }) {
			t.Errorf("from %s nothing is allowed", s.Format(over))
		}
	}
}

func key(choice []int) (b []byte) {
	for _, u := range choice {
		b = append(b, byte(u))
	}
	return b
}

// specs are the knobs as they were said.
func (s *Space) specs() (list []Knob) {
	for h := range s.knobs {
		k := s.knobs[h].Knob
		k.Node, k.Service = "", ""
		if k.Kind == Block {
			k.Service = s.Mesh().Services[s.knobs[h].Of].Name
		} else {
			k.Node = s.Mesh().Nodes[s.knobs[h].Of].Name
		}
		list = append(list, k)
	}
	return list
}

// A space in a file keeps its limits, and one without has none there.
func TestLimitsFile(t *testing.T) {
	s := limited(t, 0)
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got Space
	if err := json.Unmarshal(b, &got); err != nil || !slices.Equal(got.Numbers(), s.Numbers()) {
		t.Errorf("%v: %s", err, b)
	}
	if b, err = json.Marshal(Grid(New(2, 2), 0)); err != nil || strings.Contains(string(b), "limits") {
		t.Errorf("%v: %s", err, b)
	}
	if err := json.Unmarshal([]byte(strings.Replace(string(b), `"knobs"`, `"limits":[{"kind":"cpu","most":1}],"knobs"`, 1)), &got); err == nil {
		t.Error("a limit of knobs that are not there was read")
	}
}

// What makes no sense is said, all at once.
func TestLimitsRefused(t *testing.T) {
	s, err := NewSpace(New(1, 2), Knob{Kind: Route}, Knob{Kind: Replicas, Min: 1, Max: 3})
	if err != nil {
		t.Fatal(err)
	}
	names := s.Mesh().NodeNames()
	for want, l := range map[string]Limit{
		`unknown kind of knob "none"`:                                  {Kind: "none", Most: 3},
		"accepted: one of nodes or services":                           {Kind: Route, Most: 1},
		`node "x" has no knob of kind replicas; accepted: ` + names[0]: {Kind: Replicas, Of: []string{"x"}, Most: 3},
		"it counts 1 knobs":                                            {Kind: Replicas, Of: names[:1], Most: 2},
		"it counts 0 knobs":                                            {Kind: CPU, Most: 2},
		"most 1; accepted: at least 2":                                 {Kind: Replicas, Most: 1},
		"most 6 forbids nothing":                                       {Kind: Replicas, Most: 6},
	} {
		if _, err := s.Limited(l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", l, err, want)
		}
	}
	_, err = s.Limited(Limit{Kind: Route, Most: 1}, Limit{Kind: Replicas, Most: 1})
	if err == nil || !strings.Contains(err.Error(), "limit 1: ") || !strings.Contains(err.Error(), "limit 2: ") {
		t.Errorf("two wrong ones: %v", err)
	}
}

// The moves of a knob are the choices in which it is at a point and at most one
// other that is counted is lower, as high as it may be: by trying all choices.
func TestMoves(t *testing.T) {
	for _, step := range []int{0, 1} {
		s := limited(t, step)
		rng := rand.New(rand.NewPCG(3, 4))
		numbers := s.Numbers()
		exchanged := 0
		for range 200 {
			from := s.At(numbers[rng.IntN(len(numbers))])
			allowed, choice := s.AllowedIn(State{InForce: from}), s.Nearest(from)
			h := rng.IntN(len(choice))
			u := rng.IntN(s.Choices()[h])
			var want [][]int
			better := map[int][]int{} // by the other knob
			for _, k := range numbers {
				to := s.Choice(nil, k)
				var others []int
				for o := range to {
					if o != h && to[o] != choice[o] {
						others = append(others, o)
					}
				}
				switch {
				case to[h] != u || !allowed.Has(to):
				case len(others) == 0:
					want = [][]int{slices.Clone(to)}
				case len(others) == 1 && to[others[0]] < choice[others[0]]:
					if o := others[0]; better[o] == nil || to[o] > better[o][o] {
						better[o] = slices.Clone(to)
					}
				}
			}
			alone := slices.Clone(choice)
			if alone[h] = u; want == nil && !s.Fits(alone) {
				for o := range choice {
					if better[o] != nil {
						want, exchanged = append(want, better[o]), exchanged+1
					}
				}
			}
			if got := allowed.Moves(choice, h, u); !slices.EqualFunc(got, want, slices.Equal) {
				t.Fatalf("from %v, knob %d to point %d: %v, want %v", choice, h, u, got, want)
			}
		}
		if exchanged < 10 {
			t.Errorf("%d exchanges", exchanged)
		}
	}
}

// Where a mesh without control is over a limit it is made to fit, and what no limit
// counts stays as it is.
func TestClamp(t *testing.T) {
	s, err := NewSpace(New(1, 3), Knob{Kind: Route, Levels: 5}, Knob{Kind: CPU, Min: .5, Max: 2, By: .5})
	if err == nil {
		s, err = s.Limited(Limit{Kind: CPU, Most: 2.5})
	}
	if err != nil {
		t.Fatal(err)
	}
	third := 1 / 3.
	for _, c := range []struct{ from, want Action }{
		{s.Default(), Action{third, third, third, 1, 1, .5}},
		{Action{.1, .2, .7, 2, .5, .5}, Action{.1, .2, .7, 1.5, .5, .5}},
		{Action{.1, .2, .7, .9, .9, .9}, Action{.1, .2, .7, 1, 1, .5}},
		{Action{.1, .2, .7, .7, .7, .7}, Action{.1, .2, .7, .7, .7, .7}},
	} {
		if got := s.Clamp(c.from.Clone()); !slices.Equal(got, c.want) || s.Validate(got) != nil {
			t.Errorf("%s becomes %s, want %s", s.Format(c.from), s.Format(got), s.Format(c.want))
		}
	}
}
