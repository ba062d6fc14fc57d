package study

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

type oracle struct {
	d *optimum.Dynamics
	p load.Pattern
	n int
	plan *optimum.Plan
	t int
}
func (o *oracle) Name() string { return "oracle" }
func (o *oracle) Reset(seed uint64) {
	var loads []mesh.Load
	for t := range o.n { loads = append(loads, o.p.At(nil, seed, t)) }
	o.plan, _ = o.d.Plan(context.Background(), loads); o.t = 0
}
func (o *oracle) Act(s mesh.State) (mesh.Action, error) { a, err := o.plan.At(o.t, s); o.t++; return a, err }

func TestExp(t *testing.T) {
	ctx := context.Background()
	begin := time.Now()
	lap := func(s string) { fmt.Printf("%6.1f s %s\n", time.Since(begin).Seconds(), s) }
	sc, err := scenario.Open("autoscale")
	if err != nil { t.Fatal(err) }
	sc = sc.Defaults()
	bed, err := virtual.New(virtual.Config{Scenario: sc})
	if err != nil { t.Fatal(err) }
	c := testbed.Collection{Scenario: sc, Load: load.Uniform{Ranges: sc.Loads}, Seed: 1}
	meta, err := c.Meta(bed)
	if err != nil { t.Fatal(err) }
	tab := trace.New(meta)
	if err := testbed.Collect(ctx, bed, tab, c); err != nil { t.Fatal(err) }
	lap("collected")
	m, err := model.Learn(ctx, tab, model.Config{Kind: model.Tails, Forest: forest.Config{Trees: 60, MinLeaf: 20, Seed: 1}})
	if err != nil { t.Fatal(err) }
	lap("learned")
	o := sc.Objectives[0]
	r, err := optimum.NewRewards(m, o, optimum.Config{Expected: true, Timing: sc.Timing})
	if err != nil { t.Fatal(err) }
	for _, l := range []float64{4, 9, 14, 20, 30, 40} {
		tb, err := r.Table(mesh.Load{l})
		if err != nil { t.Fatal(err) }
		fmt.Println(l, tb.Reward)
	}
	d, err := optimum.NewDynamics(r)
	if err != nil { t.Fatal(err) }
	fmt.Println("states", d.Len())
	lp, err := sc.LoadPatterns()
	if err != nil { t.Fatal(err) }
	lp = append(lp, load.Switching{Patterns: lp})
	for _, p := range lp {
		n := p.Name()
		chain := optimum.NewChain(p, sc.Loads, 20, []uint64{100, 101, 102, 103}, 20000)
		dp, err := d.Iterate(ctx, chain, sc.Gamma())
		if err != nil { t.Fatal(err) }
		lap(fmt.Sprintf("iterated %d loads %d sweeps", len(chain.Loads), dp.Sweeps))
		show := func(name string, q policy.Policy) {
			for _, sys := range []control.System{control.NewSimulator(m, sc.Timing), bed} {
				var sum episode.Result
				for seed := uint64(1); seed <= 4; seed++ {
					cfg := control.Config{Past: 6}
					if sys != control.System(bed) { cfg.Value = r.Step }
					env, err := control.NewEnv(sys, p, o, cfg)
					if err != nil { t.Fatal(err) }
					x, err := episode.Run(ctx, env, q, 720, seed, nil)
					if err != nil { t.Fatal(err) }
					sum.Reward += x.Reward/4; sum.Cost += x.Cost/4; sum.Missed += x.Missed/4; sum.Failed += x.Failed/4
				}
				fmt.Printf("%-10s %-32s %-10s reward %.4f cost %.2f missed %.3f failed %.4f\n", n, name, sys.Name(), sum.Reward, sum.Cost, sum.Missed, sum.Failed)
			}
		}
		show("oracle", &oracle{d: d, p: p, n: 720})
		show("dp", dp)
		show("greedy", policy.Greedy{Optimum: r})
		for k := range 5 { show(fmt.Sprint("constant ", k+1), policy.Static{Action: mesh.Action{float64(k + 1)}}) }
		base := ppo.Config{TotalSteps: 200 * 1024, Steps: 256, Batch: 512, Epochs: 6, LearningRate: 2e-3, LearningRateSchedule: ppo.Linear, Gamma: sc.Gamma(), EntropyCoef: .01, EntropyCoefSchedule: ppo.Linear}
		ob := learner.Observation{Normalise: true, Past: 6, InForce: true, Knots: 8}
		try := func(name string, f func(c *ppo.Config, o *learner.Observation)) {
			c, ob := base, ob
			f(&c, &ob)
			l := learner.PPO{Config: c, Observation: ob, Heads: learner.PerKnob, Episode: 360, Environments: 8}
			prob := learner.Problem{Loads: sc.Loads, Env: func(past int) (*control.Env, error) { return r.NewEnv(p, past) }, Blind: func(past int) (*control.Env, error) { return r.NewBlindEnv(p, past) },
				Score: func(q policy.Policy) (float64, error) {
					e, err := r.NewBlindEnv(p, 6)
					if err != nil { return 0, err }
					x, err := episode.Run(ctx, e, q, 720, 999, nil)
					return x.Reward, err
				}}
			b := time.Now()
			q, err := l.Learn(ctx, prob, 1, nil)
			if err != nil { t.Fatal(err) }
			show(fmt.Sprintf("%s %.1f s", name, time.Since(b).Seconds()), q)
		}
		try("ppo", func(c *ppo.Config, o *learner.Observation) { c.Hold = 12; c.Gamma=.95; c.EntropyCoef = .05; c.LearningRate = 5e-3; c.Steps=512; c.Epochs = 4; c.Batch=256 })
		try("ppo gamma 0", func(c *ppo.Config, o *learner.Observation) { c.Hold = 12; c.Gamma=0; c.EntropyCoef = .05; c.LearningRate = 5e-3; c.Steps=512; c.Epochs = 4; c.Batch=256 })
	}
}
