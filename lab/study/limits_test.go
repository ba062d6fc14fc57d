package study

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	loads := sc.Loads.Grid(9)
	var scores []float64
	for _, r := range []*optimum.Rewards{all, searched} {
		c, err := policy.BestConstant(r, loads)
		if err != nil || !space.Within(c.Action) {
			t.Errorf("constant %s: %v", space.Format(c.Action), err)
		}
		v, _, err := policy.Score(all, c, loads)
		if err != nil {
			t.Fatal(err)
		}
		scores = append(scores, v)
	}
	if scores[1] < .999*scores[0] {
		t.Errorf("the constant found scores %v, the best one %v", scores[1], scores[0])
	}
	if _, _, err := policy.Score(all, policy.Static{Action: mesh.Action{.4, .6, .4, .6, .4, .4}}, loads); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("a policy over the limit: %v", err)
	}
	if v, err := meanANR(all, loads); err != nil || !(v > 0 && v < 1) {
		t.Errorf("random actions score %v: %v", v, err)
	}
}

// A trace that was made without limits, or on a coarser grid, serves a scenario that
// has them: what is learned from it keeps the scenario's, and its rows over a limit
// are compared with nothing.
func TestTraceWithoutLimits(t *testing.T) {
	ctx := context.Background()
	sc := scenario.Paper()
	sc.Name = "limited"
	src, err := Virtual(ctx, sc, 400, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trace.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = src.Trace.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err = f.Close(); err != nil {
		t.Fatal(err)
	}
	sc.Limits = []mesh.Limit{{Kind: mesh.Block, Most: .6}}
	sc.Knobs = slices.Clone(sc.Knobs)
	for k := range sc.Knobs {
		sc.Knobs[k].Levels = 11
	}
	got, err := Collected(path, sc)
	if err != nil {
		t.Fatal(err)
	}
	m, err := got.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	space := m.Space()
	if space.Limits() == nil || space.Choices()[0] != 11 || got.Trace.Len() != src.Trace.Len() {
		t.Errorf("limits %v, choices %v, %d rows", space.Limits(), space.Choices(), got.Trace.Len())
	}
	over := 0
	for k := range got.Trace.Len() {
		if !space.Within(got.Trace.Row(k).Action) {
			over++
		}
	}
	scores, err := got.foreseen(m, got.Trace.Subset(whole(got.Trace.Len())[:60]))
	if err != nil || over == 0 {
		t.Fatalf("%d rows over: %v", over, err)
	}
	for _, r2 := range scores {
		if math.IsInf(r2, 0) || math.IsNaN(r2) {
			t.Errorf("R2 %v", scores)
		}
	}
}

func whole(n int) (rows []int) {
	for r := range n {
		rows = append(rows, r)
	}
	return rows
}
