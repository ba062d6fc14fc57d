package sim_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/trace"
)

var (
	_ ppo.Env    = (*sim.Gym)(nil)
	_ ppo.Stater = (*sim.Gym)(nil)
)

// synthetic is a trace of m x n nodes whose delays grow with the node's load:
// .01 s and .001 s for every request/s that reaches the node.
func synthetic(t testing.TB, m mesh.Mesh, rows int) *trace.Table {
	t.Helper()
	table := trace.New(trace.Meta{Mesh: m})
	rng := rand.New(rand.NewPCG(1, 2))
	space := mesh.NewSpace(m, 0)
	for r := range rows {
		l := load.Random{Mesh: m}.At(nil, 3, r)
		a := space.At(rng.IntN(space.Len()))
		x := mesh.NewMeasurement(m)
		for j := range m.N() {
			rate := 0.0
			for i := range m.M() {
				rate += l[i] * (1 - a.Block[i]) * a.Route[i*m.N()+j]
			}
			for i := range m.M() {
				if m.Reaches(l, a, i, j) {
					x.Node[i*m.N()+j].Mean = .01 + .001*rate
				}
			}
		}
		for i := range m.M() {
			x.Carried[i] = l[i] * (1 - a.Block[i])
			for j := range m.N() {
				if p := a.Route[i*m.N()+j]; p > 0 && a.Block[i] < 1 {
					if math.IsNaN(x.Service[i].Mean) {
						x.Service[i].Mean = 0
					}
					x.Service[i].Mean += p * x.Node[i*m.N()+j].Mean
				}
			}
		}
		if err := table.Append(trace.Row{Step: r, Load: l, Action: a, Measurement: x}); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func learn(t testing.TB, m mesh.Mesh) *sim.Model {
	t.Helper()
	model, err := sim.Learn(context.Background(), synthetic(t, m, 3000), sim.ModelConfig{Forest: forest.Config{Trees: 20}})
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// A table says what single predictions say, on two nodes (by the grid) and on
// three (row by row).
func TestTable(t *testing.T) {
	for _, model := range []*sim.Model{learn(t, mesh.Mesh{}), learn(t, mesh.New(1, 3)), learnPerNode(t, mesh.Mesh{}), learnPerNode(t, mesh.New(1, 3))} {
		m := model.Mesh()
		for _, l := range []mesh.Load{{5, 20}, {12.34, 7.1}, {12.340001, 7.1}, {0, 7.1}, {1e-9, 7.1}} {
			l = l[:m.M()]
			table, err := model.Table(l)
			if err != nil {
				t.Fatal(err)
			}
			for k := range model.Space().Len() {
				want, err := model.Predict(l, model.Space().At(k))
				if err != nil {
					t.Fatal(err)
				}
				for c, got := range table.Row(k) {
					if got != want[c] && !(math.IsNaN(got) && math.IsNaN(want[c])) {
						t.Fatalf("%s, load %v, action %d, target %d: table %v, Predict %v", m, l, k, c, got, want[c])
					}
				}
			}
		}
	}
}

// Loads that share a table are carried as they are.
func TestCarried(t *testing.T) {
	table := synthetic(t, mesh.Mesh{}, 2000)
	var whole []int // with all delays
	for r := range table.Len() {
		if x := table.Row(r).Measurement; !slices.ContainsFunc(x.Node, func(d mesh.Delay) bool { return math.IsNaN(d.Mean) }) {
			whole = append(whole, r)
		}
	}
	model, err := sim.Learn(context.Background(), table.Subset(whole), sim.ModelConfig{Kind: sim.AsPublished, Forest: forest.Config{Trees: 5}})
	if err != nil {
		t.Fatal(err)
	}
	s := sim.NewSimulator(model)
	a := mesh.Action{Route: []float64{.4, .6, .4, .6}, Block: []float64{.2, 0}}
	for _, l := range []mesh.Load{{12.34, 7.1}, {12.340001, 7.1}} {
		x, err := s.Measure(context.Background(), l, a)
		if err != nil {
			t.Fatal(err)
		}
		if want := l[0] * (1 - a.Block[0]); x.Carried[0] != want {
			t.Errorf("load %v: carried %v, want %v", l, x.Carried[0], want)
		}
	}
}

// What no request reaches has no delay, and what is blocked is not carried.
func TestMissing(t *testing.T) {
	for _, model := range []*sim.Model{learn(t, mesh.Mesh{}), learnPerNode(t, mesh.Mesh{})} {
		testMissing(t, model)
	}
}

func testMissing(t *testing.T, model *sim.Model) {
	y, err := model.Predict(mesh.Load{10, 10}, mesh.Action{Route: []float64{1, 0, .4, .6}, Block: []float64{0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	for k, name := range sim.Targets(mesh.Mesh{}, sim.Measured) {
		missing := name == "d12" || name == "d21" || name == "d22" || name == "d2"
		if math.IsNaN(y[k]) != missing {
			t.Errorf("%s is %v", name, y[k])
		}
		if name == "cl2" && y[k] != 0 {
			t.Errorf("carried load %v of a blocked service", y[k])
		}
	}
}

func TestModelErrors(t *testing.T) {
	model := learn(t, mesh.Mesh{})
	for _, l := range []mesh.Load{{1}, {1, -2}, {math.NaN(), 1}} {
		if _, err := model.Table(l); err == nil {
			t.Errorf("Table(%v): no error", l)
		}
	}
	s := sim.NewSimulator(model)
	a := mesh.Action{Route: []float64{.5, .5, .5, .5}, Block: []float64{0, 0}}
	if _, err := s.Measure(context.Background(), mesh.Load{5, 5}, a); err == nil || !strings.Contains(err.Error(), "not one of the 1296") {
		t.Errorf("Measure of an action off the grid: %v", err)
	}
}

func TestOptimum(t *testing.T) {
	model := learn(t, mesh.Mesh{})
	r, err := sim.NewRewards(model, objective.MO1(), sim.RewardsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.At(mesh.Load{5, 5})
	if err != nil {
		t.Fatal(err)
	}
	best, ties := math.Inf(-1), 0
	for _, v := range got.Reward {
		best = max(best, v)
	}
	for _, v := range got.Reward {
		if v >= best-1e-9*best {
			ties++
		}
	}
	if got.Best != best || len(got.Action) != ties {
		t.Errorf("best %v with %d actions, want %v with %d", got.Best, len(got.Action), best, ties)
	}
}

// The environment of a reward table pays what the general one does.
func TestEnvs(t *testing.T) {
	model := learn(t, mesh.Mesh{})
	o := objective.MO2()
	r, err := sim.NewRewards(model, o, sim.RewardsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	general, err := sim.NewEnv(sim.NewSimulator(model), load.Sinusoidal{}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	fast := r.NewEnv(load.Sinusoidal{})
	ctx := context.Background()
	a, err := general.Reset(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fast.Reset(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	for step := range 50 {
		if a.Load[0] != b.Load[0] {
			t.Fatalf("step %d: loads %v and %v", step, a.Load, b.Load)
		}
		action := model.Space().At((step * 37) % 1296)
		x, err := general.Step(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		y, err := fast.Step(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(x.Reward-y.Reward) > 1e-12 {
			t.Fatalf("step %d: rewards %v and %v", step, x.Reward, y.Reward)
		}
		a, b = x.Next, y.Next
	}
}

// With one training row per leaf the expected reward is that of the mean; with
// larger leaves it is the mean of the rewards, which differs.
func TestExpected(t *testing.T) {
	table := synthetic(t, mesh.Mesh{}, 3000)
	deep, err := sim.Learn(context.Background(), table, sim.ModelConfig{Forest: forest.Config{Trees: 1, NoBootstrap: true}})
	if err != nil {
		t.Fatal(err)
	}
	mean, err := sim.NewRewards(deep, objective.MO1(), sim.RewardsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	expected, err := sim.NewRewards(deep, objective.MO1(), sim.RewardsConfig{Expected: true})
	if err != nil {
		t.Fatal(err)
	}
	l := mesh.Load{20, 20}
	x, err := mean.At(l)
	if err != nil {
		t.Fatal(err)
	}
	y, err := expected.At(l)
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	for k := range x.Reward {
		if math.Abs(x.Reward[k]-y.Reward[k]) > 1e-6 {
			differ++
		}
	}
	if differ > len(x.Reward)/20 {
		t.Errorf("%d of %d rewards differ with one row per leaf", differ, len(x.Reward))
	}
	if _, err := sim.NewRewards(deep, objective.MO1().AsPublished(), sim.RewardsConfig{Expected: true}); err == nil {
		t.Error("expected rewards of delays by the maximum: no error")
	}
}

func TestObservation(t *testing.T) {
	s := mesh.State{Delay: []float64{.1, math.NaN()}, Load: mesh.Load{5, 20}}
	for _, tt := range []struct {
		o    sim.Observation
		want []float32
	}{
		{sim.Observation{}, []float32{5, 20}},
		{sim.Observation{Delays: true}, []float32{.1, 0, 5, 20}},
		{sim.Observation{Delays: true, Normalise: true}, []float32{.5, 0, -1, 1}},
		{sim.Observation{Normalise: true, Gain: 3}, []float32{-3, 3}},
		{sim.Observation{Knots: 4}, []float32{1, 0, 0, 0, 0, 0, 0, 1}},
		// Knots at 5, 10, 15 and 20 requests/s; beyond them is as at the end.
		{sim.Observation{Delays: true, Knots: 4, Gain: 2}, []float32{.1, 0, 2, 0, 0, 0, 0, 0, 0, 2}},
	} {
		got := make([]float32, tt.o.Len(2))
		tt.o.Encode(got, s)
		for k := range got {
			if math.Abs(float64(got[k]-tt.want[k])) > 1e-6 {
				t.Errorf("%+v: %v, want %v", tt.o, got, tt.want)
			}
		}
	}
}

func TestObservationBetweenKnots(t *testing.T) {
	got := make([]float32, 8)
	sim.Observation{Knots: 4, Gain: 2}.Encode(got, mesh.State{Load: mesh.Load{11, 30}})
	for k, want := range []float32{0, 1.6, .4, 0, 0, 0, 0, 2} {
		if math.Abs(float64(got[k]-want)) > 1e-6 {
			t.Fatalf("11 and 30 requests/s: %v", got)
		}
	}
}

// However an action is divided into choices, each action of the space comes
// from one combination of them.
func TestHeads(t *testing.T) {
	space := mesh.NewSpace(mesh.Mesh{}, 3)
	for heads, want := range map[sim.Heads]string{sim.PerComponent: "[3 3 3 3]", sim.WholeAction: "[81]"} {
		sizes := heads.Of(space)
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
			seen[heads.Action(space, choice)] = true
		}
		if len(seen) != space.Len() || !seen[0] || !seen[space.Len()-1] {
			t.Errorf("heads %q give %d of %d actions", heads, len(seen), space.Len())
		}
	}
}

// A gym whose state was saved and restored goes on as the one that was not.
func TestGymState(t *testing.T) {
	model := learn(t, mesh.Mesh{})
	r, err := sim.NewRewards(model, objective.MO3(), sim.RewardsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	gym := func() *sim.Gym {
		return sim.NewGym(context.Background(), r.NewEnv(load.Random{}), sim.Observation{Delays: true}, sim.PerComponent)
	}
	a, b := gym(), gym()
	x, y := make([]float32, 4), make([]float32, 4)
	if err := a.Reset(9, x); err != nil {
		t.Fatal(err)
	}
	step := func(g *sim.Gym, obs []float32, k int) float64 {
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
