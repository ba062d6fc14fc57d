package rollout_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/rollout"
)

func rewards(t *testing.T, nodes int, knobs ...mesh.Knob) *optimum.Rewards {
	t.Helper()
	space, err := mesh.NewSpace(mesh.New(1, nodes), knobs...)
	if err != nil {
		t.Fatal(err)
	}
	o := objective.Objective{Name: "o", Targets: []objective.Target{{Goal: 1}}, Terms: []objective.Term{
		{Product: []objective.Factor{{Of: objective.Met, Service: "service1"}}},
		{Weight: -.1, Product: []objective.Factor{{Of: objective.Cost}}}}}
	r, err := optimum.NewRewards(modeltest.Pool{Of: space}, o, optimum.Config{Timing: control.Timing{Step: 5, Settle: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var replicas = mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 4, Up: 10, Cost: 1}

func paid(t *testing.T, r *optimum.Rewards, p policy.Policy, pattern load.Pattern, steps int) float64 {
	t.Helper()
	env, err := r.NewEnv(pattern, 2)
	if err != nil {
		t.Fatal(err)
	}
	x, err := episode.Run(context.Background(), env, p, steps, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x.Reward
}

// Where the load comes as a chain, rollout is paid more than a blind base, and no
// less than the best one, over which there is nothing to gain, given samples.
func TestRollout(t *testing.T) {
	r := rewards(t, 1, replicas)
	pattern := load.Bursty{Ranges: load.Ranges{{Min: 1, Max: 3}}, Regimes: []load.Regime{{Level: 0, Sojourn: 6}, {Level: 1, Sojourn: 4}}}
	chain := optimum.NewChain(pattern, load.Ranges{{Min: 0, Max: 4}}, 4, []uint64{1, 2, 3}, 3000)
	d, err := optimum.NewDynamics(r)
	if err != nil {
		t.Fatal(err)
	}
	dp, err := d.Iterate(context.Background(), chain, .95)
	if err != nil {
		t.Fatal(err)
	}
	base := policy.Greedy{Optimum: r}
	p := &rollout.Policy{Rewards: r, Base: base, Loads: rollout.Chain{Chain: chain}, Samples: 20}
	q := &rollout.Policy{Rewards: r, Base: dp, Loads: rollout.Chain{Chain: chain}, Samples: 200, Horizon: 20}
	blind, improved := paid(t, r, base, pattern, 400), paid(t, r, p, pattern, 400)
	best, same := paid(t, r, dp, pattern, 400), paid(t, r, q, pattern, 100)-paid(t, r, dp, pattern, 100)
	if !(improved > blind+.005 && best > improved && same > -.02) {
		t.Errorf("base %v, rollout %v; dynamic programming %v, rollout over it %v more", blind, improved, best, same)
	}
}

// Two knobs one after the other find what all actions together find, from a sum
// of points rather than their product; a budget of no time leaves the base.
func TestMultiAgent(t *testing.T) {
	slow := replicas
	r := rewards(t, 2, mesh.Knob{Kind: mesh.Route, Levels: 5}, slow)
	base := policy.Static{Action: mesh.Action{.5, .5, 1, 1}}
	s := mesh.State{Load: mesh.Load{3}, Delay: []float64{math.NaN()}, InForce: mesh.Action{.5, .5, 1, 1}}
	together := &rollout.Policy{Rewards: r, Base: base, Joint: true}
	turns := &rollout.Policy{Rewards: r, Base: base}
	for _, p := range []*rollout.Policy{together, turns} {
		p.Reset(1)
		if _, err := p.Act(s); err != nil {
			t.Fatal(err)
		}
	}
	if together.Evaluated < 5*4*4 || turns.Evaluated > 1+5+4+4 {
		t.Errorf("%d actions together, %d one after the other; want about 80 and at most 14", together.Evaluated, turns.Evaluated)
	}
	seven := &rollout.Policy{Rewards: r, Base: base, Budget: time.Nanosecond}
	seven.Reset(1)
	if a, err := seven.Act(s); err != nil || !slices.Equal(a, base.Action) || seven.Evaluated != 1 {
		t.Errorf("without time %v after %d (%v), want the base's", a, seven.Evaluated, err)
	}
}

// Increments stay within what is allowed, and the value at the end counts.
func TestIncrements(t *testing.T) {
	step := replicas
	step.Step, step.Up = 1, -1
	r := rewards(t, 1, step)
	p := &rollout.Policy{Rewards: r, Base: policy.Static{Action: mesh.Action{1}}, Horizon: 1,
		Value: func(s mesh.State) float64 { return 100 * s.InForce[0] }}
	p.Reset(1)
	s := mesh.State{Load: mesh.Load{1}, Delay: []float64{math.NaN()}, InForce: mesh.Action{2}}
	a, err := p.Act(s)
	if err != nil || a[0] != 3 {
		t.Errorf("from two replicas %v (%v), want three: one more, which is worth most in the end", a, err)
	}
}

// Foreseen loads go on as they did, and stay within the ranges.
func TestTrend(t *testing.T) {
	dst := make([]mesh.Load, 3)
	f := rollout.Trend{Ranges: load.Ranges{{Min: 0, Max: 10}}}
	f.Ahead(dst, mesh.State{Load: mesh.Load{8}, Past: []mesh.Load{{7}, {6}}}, 0, 0)
	if dst[0][0] != 9 || dst[1][0] != 10 || dst[2][0] != 10 {
		t.Errorf("loads %v", dst)
	}
}

// At a limit one knob after the other exchanges what a single one cannot move, and
// who stays where somebody left the mesh over a limit comes within.
func TestLimits(t *testing.T) {
	free := rewards(t, 2, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3, Up: -1})
	space, err := free.Space().Limited(mesh.Limit{Kind: mesh.Replicas, Most: 4})
	if err != nil {
		t.Fatal(err)
	}
	r, err := optimum.NewRewards(modeltest.Pool{Of: space}, free.Objective(), optimum.Config{Timing: free.Timing()})
	if err != nil {
		t.Fatal(err)
	}
	s := mesh.State{Load: mesh.Load{3.5}, Delay: []float64{math.NaN()}, InForce: mesh.Action{3, 1}}
	var got [2]mesh.Action
	for k, joint := range []bool{true, false} {
		p := &rollout.Policy{Rewards: r, Base: rollout.Stay{Space: space}, Joint: joint}
		p.Reset(1)
		if got[k], err = p.Act(s); err != nil {
			t.Fatal(err)
		}
	}
	if want := (mesh.Action{2, 2}); !slices.Equal(got[0], want) || !slices.Equal(got[1], want) {
		t.Errorf("all together %v, one after the other %v; want %v", got[0], got[1], want)
	}
	s.InForce = mesh.Action{3, 3}
	if a, err := (rollout.Stay{Space: space}).Act(s); err != nil || !space.Within(a) {
		t.Errorf("stay at %v: %v", a, err)
	}
}
