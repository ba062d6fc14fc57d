package study

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/rollout"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

const quota = `
name: quota
title: replicas of two nodes within a quota
nodes: [{name: fast, speed: 1}, {name: slow, speed: 0.6}]
microservices: [{name: web, nodes: [fast, slow], time: 0.06}]
services: [{name: web, stages: [web], load: {min: 5, max: 60, quantum: 2.5}, goal: 0.15}]
knobs:
  - {kind: route, levels: 5}
  - {kind: replicas, node: fast, min: 1, max: 4, up: 10, cost: 1}
  - {kind: replicas, node: slow, min: 1, max: 4, up: 10, cost: 0.5}
limits: [{kind: replicas, most: 5}]
patterns: ["flashcrowd:every=60,rise=6,hold=12,fall=6,jitter=0.5", "step:every=20,jitter=0.5"]
timing: {settle: -1}
discount: 0.9
episode: 40
collect: {steps: 600}
objectives:
  - {name: useful, terms: [{weight: 0.02, product: [carried web, utility web]}, {weight: -0.01, product: [cost]}]}
`

// A study within limits: each policy of it drives the testbed, which refuses an
// action over a limit, as does what it is learned by.
func TestLimits(t *testing.T) {
	ctx := context.Background()
	sc, err := scenario.Parse("quota", []byte(quota))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Of(ctx, sc, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Seeds, cfg.Splits = 1, 1
	cfg.Settings = []Setting{cfg.Settings[0].Short(.03)}
	r, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range r.Rewards {
		seen[c.Policy] = true
	}
	for _, p := range []string{"ppo", "hpa", "lookahead", "constant", "bandit", "greedy", "dp", "oracle"} {
		if !seen[p] {
			t.Errorf("no %s: %v", p, seen)
		}
	}

	source := r.Config.Sources[0]
	m, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := source.Rewards(m, sc.Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	space := rewards.Space()
	for k := range source.Trace.Len() {
		if a := source.Trace.Row(k).Action; !space.Within(a) {
			t.Fatalf("collected: %s", space.Format(a))
		}
	}
	base := policy.Greedy{Optimum: rewards}
	policies := []policy.Policy{&policy.Random{Space: space},
		&rollout.Policy{Rewards: rewards, Base: base, Gamma: .9, Joint: true}, &rollout.Policy{Rewards: rewards, Base: base, Gamma: .9}}
	for _, autoregressive := range []bool{false, true} {
		set := Best(sc).Short(.03)
		l := set.Learner.(learner.PPO)
		l.Heads, l.Config.Autoregressive = learner.PerKnob, autoregressive
		set.Learner = l
		trained, err := Train(ctx, rewards, sc, set, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := trained.Policy(space)
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	bed, err := virtual.New(virtual.Config{Scenario: sc})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	pattern, err := load.Parse(sc.Patterns[0], sc.Loads)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		past := 0
		if n, ok := p.(*learner.Network); ok {
			past = n.Description().Observation.Past
		}
		env, err := control.NewEnv(bed, pattern, sc.Objectives[0], control.Config{Past: past})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := episode.Run(ctx, env, p, 40, 1, nil); err != nil {
			t.Errorf("%s: %v", p.Name(), err)
		}
	}
	if _, err := bed.Measure(ctx, sc.Loads.Mid(), mesh.Action{.5, .5, 3, 3}); err == nil {
		t.Error("the testbed did not refuse what is over the limit")
	}
}

// The best within limits is the best of those within them, enumerated or searched
// for, of one load or as a constant.
func TestLimitedOptimum(t *testing.T) {
	sc := scenario.Paper()
	sc.Limits = []mesh.Limit{{Kind: mesh.Block, Most: .6}}
	src, err := Virtual(context.Background(), sc, 400, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := src.Learn(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	with := func(most int) *optimum.Rewards {
		r, err := optimum.NewRewards(m, sc.Objectives[0], optimum.Config{Timing: sc.Timing, MaxEnumerated: most})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	all, searched := with(0), with(1)
	space := all.Space()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 12 {
		l := mesh.Load{5 + 15*rng.Float64(), 5 + 15*rng.Float64()}
		top := math.Inf(-1)
		for k := range space.Len() {
			v, err := all.Value(l, space.At(k))
			if err != nil {
				t.Fatal(err)
			}
			if over := space.BlockOf(space.At(k), 0)+space.BlockOf(space.At(k), 1) > .6+1e-9; over != math.IsInf(v, -1) {
				t.Fatalf("%s pays %v", space.Format(space.At(k)), v)
			}
			top = max(top, v)
		}
		for r, least := range map[*optimum.Rewards]float64{all: top - 1e-9, searched: .97 * top} {
			b, err := r.Best(l)
			if err != nil {
				t.Fatal(err)
			}
			if !space.Within(b.Action) || b.Reward < least {
				t.Errorf("load %v: %s pays %v, the best %v", l, space.Format(b.Action), b.Reward, top)
			}
		}
	}
	for _, r := range []*optimum.Rewards{all, searched} {
		c, err := policy.BestConstant(r, sc.Loads.Grid(9))
		if err != nil || !space.Within(c.Action) {
			t.Errorf("constant %s: %v", space.Format(c.Action), err)
		}
	}
}
