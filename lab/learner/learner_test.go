package learner

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
)

var ranges = modeltest.Ranges(mesh.New(2, 2))

// problem is that of the rewards of a synthetic model.
func problem(t testing.TB, m control.Model, o objective.Objective) (Problem, *optimum.Rewards) {
	t.Helper()
	r, err := optimum.NewRewards(m, o, optimum.Config{})
	if err != nil {
		t.Fatal(err)
	}
	loads := modeltest.Ranges(m.Space().Mesh())
	return Problem{
		Env: func(past int) (*control.Env, error) { return r.NewEnv(load.Random{Ranges: loads}, past) },
		Score: func(p policy.Policy) (float64, error) {
			v, _, err := policy.Score(r, p, loads.Grid(100))
			return v, err
		},
		Loads: loads,
		Goals: []float64{.1, .1},
	}, r
}

// identity is a model in which a service is in time only at the blocking rate
// that its load asks for: the higher the load, the more is to be blocked.
type identity struct{ space *mesh.Space }

func (identity) Name() string         { return "identity" }
func (m identity) Space() *mesh.Space { return m.space }
func (m identity) At(s mesh.State) (control.Forecast, error) {
	return &identityForecast{space: m.space, load: s.Load}, nil
}

type identityForecast struct {
	space *mesh.Space
	load  mesh.Load
	a     mesh.Action
}

func (f *identityForecast) Set(a mesh.Action) error { f.a = a; return nil }
func (f *identityForecast) Mean(x *mesh.Measurement) {
	for i, l := range f.load {
		x.Carried[i] = 1
		x.Service[i].Mean = .01
		if math.Abs(f.space.BlockOf(f.a, i)-(l-5)/15) > 1e-6 {
			x.Service[i].Mean = 1
		}
	}
}
func (f *identityForecast) Draws() int                      { return 1 }
func (f *identityForecast) Draw(_ int, x *mesh.Measurement) { f.Mean(x) }

// identitySpace has 0, 1/3, 2/3 and 1 for what each of two services blocks, step
// points at a time.
func identitySpace(t testing.TB, step int) *mesh.Space {
	t.Helper()
	s, err := mesh.NewSpace(mesh.New(2, 1), mesh.Knob{Kind: mesh.Block, Levels: 4, Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Each learner finds the identity.
func TestLearners(t *testing.T) {
	m := identity{identitySpace(t, 0)}
	p, _ := problem(t, m, objective.Useful("identity", m.space.Mesh().ServiceNames(), []objective.Target{{Goal: .1}, {Goal: .1}}))
	config := ppo.Config{TotalSteps: 12_000, Steps: 256, LearningRate: 3e-3}
	for _, l := range []Learner{
		PPO{Config: config, Observation: Observation{Knots: 4}, Heads: PerKnob},
		PPO{Config: config, Observation: Observation{Knots: 4}, Heads: WholeAction},
		Bandit{Steps: 12_000},
	} {
		var curve []Point
		got, err := l.Learn(context.Background(), p, 3, func(x Point) { curve = append(curve, x) })
		if err != nil {
			t.Fatal(err)
		}
		score, err := p.Score(got)
		if err != nil {
			t.Fatal(err)
		}
		top := 0.0
		for _, x := range curve {
			top = max(top, x.Score)
		}
		t.Logf("%s: score %.3f after %d points of the curve", l.Name(), score, len(curve))
		if score < .95 || got.Name() != l.Name() || len(curve) < 10 || score != top {
			t.Errorf("%s: score %.3f, highest of the curve %.3f", l.Name(), score, top)
		}
	}
}

// The same seed learns the same policy; without a score the last one is
// returned.
func TestSeeds(t *testing.T) {
	m := identity{identitySpace(t, 0)}
	p, r := problem(t, m, objective.Useful("identity", m.space.Mesh().ServiceNames(), []objective.Target{{Goal: .1}, {Goal: .1}}))
	p.Score = nil
	for _, l := range []Learner{PPO{Config: ppo.Config{TotalSteps: 512, Steps: 128}}, Bandit{Steps: 512}} {
		score := func(seed uint64) string {
			got, err := l.Learn(context.Background(), p, seed, nil)
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, load := range r.Space().Choices() {
				a, err := got.Act(mesh.State{Load: mesh.Load{float64(load), 20}})
				if err != nil {
					t.Fatal(err)
				}
				text += fmt.Sprint(a)
			}
			return text
		}
		if a, b := score(1), score(1); a != b {
			t.Errorf("%s: %s, then %s with the same seed", l.Name(), a, b)
		}
	}
}

// A cancelled context ends learning.
func TestCancelled(t *testing.T) {
	m := identity{identitySpace(t, 0)}
	p, _ := problem(t, m, objective.Useful("identity", m.space.Mesh().ServiceNames(), []objective.Target{{Goal: .1}, {Goal: .1}}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, l := range []Learner{PPO{}, Bandit{}} {
		if _, err := l.Learn(ctx, p, 1, nil); err == nil {
			t.Errorf("%s: no error", l.Name())
		}
	}
}

func TestObservation(t *testing.T) {
	s := mesh.State{Delay: []float64{.1, math.NaN()}, Load: mesh.Load{5, 20}, Past: []mesh.Load{{20, 12.5}},
		InForce: mesh.Action{1, 0, .5, .5, .2, 0}, Pending: []mesh.Pending{{Knob: 2, Point: 1, Left: 30}}}
	for _, tt := range []struct {
		o    Observation
		want []float32
	}{
		{Observation{}, []float32{5, 20}},
		{Observation{Delays: true}, []float32{.1, 0, 5, 20}},
		{Observation{Delays: true, Normalise: true}, []float32{.5, 0, -1, 1}},
		{Observation{Normalise: true, Gain: 3}, []float32{-3, 3}},
		{Observation{Knots: 4}, []float32{1, 0, 0, 0, 0, 0, 0, 1}},
		// Knots at 5, 10, 15 and 20 requests/s; beyond them is as at the end.
		{Observation{Delays: true, Knots: 4, Gain: 2}, []float32{.1, 0, 2, 0, 0, 0, 0, 0, 0, 2}},
		{Observation{Past: 1, Normalise: true}, []float32{-1, 1, 1, 0}},
		{Observation{InForce: true}, []float32{5, 20, 1, 0, .5, .5, .2, 0}},
	} {
		c := newCoder(tt.o, ranges, []float64{.1, .1}, modeltest.Paper())
		got := make([]float32, c.len())
		if len(got) != len(tt.want) {
			t.Errorf("%+v: %d values, want %d", tt.o, len(got), len(tt.want))
			continue
		}
		c.encode(got, s)
		for k := range got {
			if math.Abs(float64(got[k]-tt.want[k])) > 1e-6 {
				t.Errorf("%+v: %v, want %v", tt.o, got, tt.want)
				break
			}
		}
	}
}

// Of a knob that takes its time a policy sees what will be in force.
func TestObservationOfSlowKnobs(t *testing.T) {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 4, Up: 30})
	if err != nil {
		t.Fatal(err)
	}
	c := newCoder(Observation{InForce: true}, load.Ranges{{Min: 5, Max: 20}}, nil, space)
	for _, tt := range []struct {
		pending []mesh.Pending
		want    []float32
	}{
		{nil, []float32{5, .25, .25, .25, .25}},
		{[]mesh.Pending{{Point: 1, Left: 20}, {Point: 3, Left: 25}}, []float32{5, .25, .25, .5, 1}},
	} {
		got := make([]float32, c.len())
		c.encode(got, mesh.State{Load: mesh.Load{5}, InForce: mesh.Action{1}, Pending: tt.pending})
		if !slices.Equal(got, tt.want) {
			t.Errorf("pending %v: %v, want %v", tt.pending, got, tt.want)
		}
	}
}

func TestObservationBetweenKnots(t *testing.T) {
	c := newCoder(Observation{Knots: 4, Gain: 2}, ranges, nil, modeltest.Paper())
	got := make([]float32, 8)
	c.encode(got, mesh.State{Load: mesh.Load{11, 30}})
	for k, want := range []float32{0, 1.6, .4, 0, 0, 0, 0, 2} {
		if math.Abs(float64(got[k]-want)) > 1e-6 {
			t.Fatalf("11 and 30 requests/s: %v", got)
		}
	}
}

// However an action is divided into choices, each action of the space comes
// from one combination of them.
func TestHeads(t *testing.T) {
	space := mesh.Grid(mesh.New(2, 2), 3)
	for heads, want := range map[Heads]string{PerKnob: "[3 3 3 3]", WholeAction: "[81]"} {
		sizes := heads.of(space)
		if got := fmt.Sprint(sizes); got != want {
			t.Errorf("heads %q: %s, want %s", heads, got, want)
		}
		seen := map[int]bool{}
		choice := make([]int, len(sizes))
		for n := range space.Len() {
			for h := len(sizes) - 1; h >= 0; h-- {
				choice[h] = n % sizes[h]
				n /= sizes[h]
			}
			k, _ := space.Index(heads.action(space, nil, choice))
			seen[k] = true
		}
		if len(seen) != space.Len() || !seen[0] || !seen[space.Len()-1] {
			t.Errorf("heads %q give %d of %d actions", heads, len(seen), space.Len())
		}
	}
}

// Heads that are too large are refused with their size and what to use; those of
// a space follow from it.
func TestHeadsOfLarge(t *testing.T) {
	wide := modeltest.Builtin(t, "wide").MustSpace()
	_, err := WholeAction.in(wide)
	for _, want := range []string{"1.27e+10", "32768", `"knob"`} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("one head for all: %v, want one line with %q", err, want)
		}
	}
	if _, err := Heads("two").in(wide); err == nil || !strings.Contains(err.Error(), "accepted") {
		t.Errorf("unknown heads: %v", err)
	}
	for _, tt := range []struct {
		space *mesh.Space
		want  Heads
	}{{wide, PerKnob}, {modeltest.Paper(), WholeAction}} {
		if got, err := Auto.in(tt.space); got != tt.want || err != nil {
			t.Errorf("heads of %s are %q (%v)", tt.space, got, err)
		}
	}
}

// A gym whose state was saved and restored goes on as the one that was not.
func TestGymState(t *testing.T) {
	m := modeltest.Joint(t, modeltest.Paper())
	names := m.Space().Mesh().ServiceNames()
	p, _ := problem(t, m, objective.Guaranteed("MO3", names, modeltest.Targets(m.Space().Mesh()), names[1], names[0], 5))
	gym := func() *Gym {
		g, err := NewGym(context.Background(), p, Observation{Delays: true}, PerKnob, 0)
		if err != nil {
			t.Fatal(err)
		}
		return g.(*Gym)
	}
	a, b := gym(), gym()
	x, y := make([]float32, 4), make([]float32, 4)
	if err := a.Reset(9, x); err != nil {
		t.Fatal(err)
	}
	step := func(g *Gym, obs []float32, k int) float64 {
		v, _, err := g.Step([]int{k % 6, (k * 2) % 6, 0, k % 3}, obs)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for k := range 10 {
		step(a, x, k)
	}
	state, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetState(state); err != nil {
		t.Fatal(err)
	}
	for k := range 10 {
		if v, w := step(a, x, k), step(b, y, k); v != w {
			t.Fatalf("step %d after restoring: rewards %v and %v", k, v, w)
		}
		for i := range x {
			if x[i] != y[i] {
				t.Fatalf("step %d after restoring: observations %v and %v", k, x, y)
			}
		}
	}
	if err := b.SetState(state[:5]); err == nil {
		t.Error("SetState of a part: no error")
	}
}

// Where knobs move by increments only neighbours of the point in force are
// allowed, in the gym and by the policy; episodes are truncated.
func TestIncrements(t *testing.T) {
	m := identity{identitySpace(t, 1)}
	p, _ := problem(t, m, objective.Useful("identity", m.space.Mesh().ServiceNames(), []objective.Target{{Goal: .1}, {Goal: .1}}))
	for heads, choice := range map[Heads][][]int{PerKnob: {{1, 0}, {2, 1}}, WholeAction: {{4}, {9}}} {
		e, err := NewGym(context.Background(), p, Observation{InForce: true}, heads, 2)
		if err != nil {
			t.Fatal(err)
		}
		g, ok := e.(ppo.Masker)
		if !ok {
			t.Fatal("a gym with increments has no mask")
		}
		if tr, ok := e.(ppo.Truncater); !ok || !tr.Truncated() {
			t.Error("episodes are not truncated")
		}
		n, sizes := e.Spaces()
		total := 0
		for _, s := range sizes {
			total += s
		}
		obs, mask := make([]float32, n), make([]bool, total)
		if err := e.Reset(1, obs); err != nil {
			t.Fatal(err)
		}
		allowed := func() (list string) {
			g.Mask(mask)
			for k, ok := range mask {
				if ok {
					list += fmt.Sprint(k, " ")
				}
			}
			return list
		}
		// From no control: points 0 and 1 of both.
		if got := allowed(); got != "0 1 4 5 " {
			t.Errorf("heads %q: before the first step allowed are %s, want 0 1 4 5", heads, got)
		}
		for step, want := range []bool{false, true, false, true} {
			_, done, err := e.Step(choice[min(step, 1)], obs)
			if err != nil {
				t.Fatal(err)
			}
			if done != want {
				t.Errorf("heads %q: step %d ends the episode: %v", heads, step, done)
			}
			if step == 0 {
				// From points 1 and 0: 0 to 2 of the first, 0 and 1 of the second.
				if got, want := allowed(), map[Heads]string{PerKnob: "0 1 2 4 5 ", WholeAction: "0 1 4 5 8 9 "}[heads]; got != want {
					t.Errorf("heads %q: allowed are %s, want %s", heads, got, want)
				}
			}
		}
		l := PPO{Config: ppo.Config{TotalSteps: 256, Steps: 64}, Observation: Observation{InForce: true}, Heads: heads, Episode: 32}
		learned, err := l.Learn(context.Background(), p, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := m.space.At(0)
		for k := range 8 {
			a, err := learned.Act(mesh.State{Load: mesh.Load{20, 20}, InForce: in})
			if err != nil {
				t.Fatal(err)
			}
			for h := range 2 {
				if math.Abs(a[h]-in[h]) > .34 {
					t.Errorf("heads %q, step %d: from %v to %v", heads, k, in, a)
				}
			}
			in = a.Clone()
		}
	}
}

// arms is an environment to make a network with.
type arms struct{ heads []int }

func (b arms) Spaces() (int, []int)              { return 2, b.heads }
func (b arms) Reset(_ uint64, o []float32) error { o[0], o[1] = 1, 2; return nil }
func (b arms) Step(_ []int, o []float32) (float64, bool, error) {
	o[0], o[1] = 2, 1
	return 1, false, nil
}

func network(t *testing.T, space *mesh.Space, heads Heads) *Network {
	t.Helper()
	trainer, err := ppo.New(ppo.Config{Steps: 64}, arms{heads.of(space)})
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Train(context.Background(), 64); err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(trainer.Policy(), space, Problem{Loads: ranges}, Observation{}, heads)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSaveLoad(t *testing.T) {
	space := modeltest.Paper()
	path := filepath.Join(t.TempDir(), "policy.zip")
	for _, heads := range []Heads{WholeAction, PerKnob} {
		p := network(t, space, heads)
		p.Trained().Metadata = map[string]string{"note": "mine"}
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(p.Trained().Metadata, map[string]string{"note": "mine"}) {
			t.Errorf("saving changes what others read: %v", p.Trained().Metadata)
		}
		again, err := Load(path, space)
		if err != nil {
			t.Fatal(err)
		}
		clone, err := p.Clone()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []mesh.Load{{5, 20}, {20, 5}, {12.5, 7}} {
			a, _ := p.Act(mesh.State{Load: l})
			b, _ := again.Act(mesh.State{Load: l})
			c, _ := clone.Act(mesh.State{Load: l})
			if space.Format(a) != space.Format(b) || space.Format(a) != space.Format(c) {
				t.Errorf("heads %q at %v: %v, after loading %v, of the clone %v", heads, l, a, b, c)
			}
		}
	}

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.zip")
	if err := os.WriteFile(cut, bytes.Clone(data[:len(data)/2]), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string
		space            *mesh.Space
	}{
		{"truncated", cut, "cut.zip", space},
		{"missing", path + "x", "policy.zipx", space},
		{"another mesh", path, "is for service1,service2 on node1,node2", mesh.Grid(mesh.Single([]string{"a", "b"}, []string{"x", "y"}), 6)},
		{"other levels", path, "with [6 6 6 6] points", mesh.Grid(mesh.New(2, 2), 3)},
	} {
		if _, err := Load(tt.path, tt.space); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", tt.name, err, tt.want)
		}
	}
	if _, err := NewNetwork(network(t, space, PerKnob).net, space, Problem{Loads: ranges}, Observation{Knots: 4}, PerKnob); err == nil {
		t.Error("a network with other inputs: no error")
	}
}

// A policy that looks at delays has no score over loads alone.
func TestSeesDelays(t *testing.T) {
	m := identity{identitySpace(t, 0)}
	p, r := problem(t, m, objective.Useful("identity", m.space.Mesh().ServiceNames(), []objective.Target{{Goal: .1}, {Goal: .1}}))
	p.Score = nil
	got, err := PPO{Config: ppo.Config{TotalSteps: 64, Steps: 64}, Observation: Observation{Delays: true}}.Learn(context.Background(), p, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !policy.SeesDelays(got) {
		t.Error("it sees no delays")
	}
	if _, _, err := policy.Score(r, got, p.Loads.Grid(10)); err == nil || !strings.Contains(err.Error(), "response times") {
		t.Errorf("its score: %v", err)
	}
}
