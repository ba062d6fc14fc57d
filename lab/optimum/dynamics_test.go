package optimum_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// rewards are 1 for a step in time, less a tenth of each replica.
func poolRewards(t *testing.T, extra []objective.Term, knobs ...mesh.Knob) *optimum.Rewards {
	t.Helper()
	space, err := mesh.NewSpace(mesh.New(1, 1), knobs...)
	if err != nil {
		t.Fatal(err)
	}
	o := objective.Objective{Name: "o", Targets: []objective.Target{{Goal: 1}}, Terms: append([]objective.Term{
		{Product: []objective.Factor{{Of: objective.Met, Service: "service1"}}},
		{Weight: -.1, Product: []objective.Factor{{Of: objective.Cost}}}}, extra...)}
	r, err := optimum.NewRewards(modeltest.Pool{Of: space}, o, optimum.Config{Timing: control.Timing{Step: 5, Settle: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var replicas = mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 4, Up: 10, Cost: 1}

// run is what a policy is paid under loads in the simulator, in all.
func run(t *testing.T, r *optimum.Rewards, p policy.Policy, loads []mesh.Load) (float64, string) {
	t.Helper()
	env, err := r.NewEnv(load.NewReplay("loads", loads), 1)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	x, err := episode.Run(context.Background(), env, p, len(loads), 1, func(s control.Step) { asked = append(asked, fmt.Sprint(s.Asked[0])) })
	if err != nil {
		t.Fatal(err)
	}
	return x.Reward * float64(len(loads)), strings.Join(asked, " ")
}

func loads(values ...float64) []mesh.Load {
	var out []mesh.Load
	for _, v := range values {
		out = append(out, mesh.Load{v})
	}
	return out
}

// The oracle asks for a replica two steps before the load comes, and no sooner:
// what brute force over all sequences finds.
func TestPlan(t *testing.T) {
	r := poolRewards(t, nil, replicas)
	d, err := optimum.NewDynamics(r)
	if err != nil {
		t.Fatal(err)
	}
	seen := loads(1, 1, 1, 3, 3, 1, 2)
	p := &optimum.Oracle{Dynamics: d, Pattern: load.NewReplay("loads", seen), Steps: len(seen)}
	got, asked := run(t, r, p, seen)
	if !strings.HasPrefix(asked, "1 3 3 3 3") {
		t.Errorf("the oracle asked for %s", asked)
	}
	best := math.Inf(-1)
	sequence := make([]int, len(seen))
	for k := range 1 << (2 * len(seen)) {
		for n := range sequence {
			sequence[n] = k >> (2 * n) & 3
		}
		s := control.NewSimulator(r.Model(), r.Timing())
		sum := 0.0
		for n, u := range sequence {
			if err := s.Skip(seen[n], mesh.Action{float64(u + 1)}); err != nil {
				t.Fatal(err)
			}
			inForce, pending := s.InForce()
			if seen[n][0] <= s.Applied()[0] {
				sum++
			}
			sum -= .1 * r.Space().Paid(inForce, pending)
		}
		best = max(best, sum)
	}
	plan, err := d.Plan(context.Background(), seen)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got-best) > 1e-5 || math.Abs(plan.Worth()-best) > 1e-5 {
		t.Errorf("the oracle was paid %v, its plan says %v, brute force %v", got, plan.Worth(), best)
	}
}

// wave is a load that a Markov chain has: 1 and, with the given probabilities, 3.
type wave struct{ up, down float64 }

func (wave) Name() string { return "wave" }
func (w wave) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	high, x := false, seed*0x9e3779b97f4a7c15+1
	for range t {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		u := float64(x>>11) / (1 << 53)
		high = high && u >= w.down || !high && u < w.up
	}
	if high {
		return mesh.Load{3}
	}
	return mesh.Load{1}
}

// Where bursts are frequent replicas are kept for the next one, where they are
// rare they are not; a policy that does not look ahead does neither, and is paid
// less.
func TestIterate(t *testing.T) {
	r := poolRewards(t, nil, replicas)
	d, err := optimum.NewDynamics(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		w    wave
		want float64 // asked for at low load with three in force
	}{{wave{.25, .25}, 3}, {wave{.01, .5}, 1}} {
		c := optimum.NewChain(tt.w, load.Ranges{{Min: 0, Max: 4}}, 4, []uint64{1, 2, 3}, 600)
		p, err := d.Iterate(context.Background(), c, .95)
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.Act(mesh.State{Load: mesh.Load{1}, InForce: mesh.Action{3}})
		if err != nil || a[0] != tt.want {
			t.Errorf("%+v: %v replicas at low load (%v), want %v", tt.w, a, err, tt.want)
		}
		var seen []mesh.Load
		for t := range 600 {
			seen = append(seen, tt.w.At(nil, 9, t))
		}
		foresight, _ := run(t, r, p, seen)
		blind, _ := run(t, r, policy.Greedy{Optimum: r}, seen)
		bound, _ := run(t, r, &optimum.Oracle{Dynamics: d, Pattern: load.NewReplay("loads", seen), Steps: len(seen)}, seen)
		if !(bound >= foresight && foresight >= blind) || tt.want == 3 && foresight < blind+10 {
			t.Errorf("%+v: oracle %v, dynamic programming %v, greedy %v", tt.w, bound, foresight, blind)
		}
	}
}

// Knobs that take no time are set to what pays most at each step, and changes of
// slow ones cost what the objective says.
func TestFastKnobsAndChanges(t *testing.T) {
	carried := []objective.Term{{Weight: .1, Product: []objective.Factor{{Of: objective.Carried, Service: "service1"}}}}
	r := poolRewards(t, carried, replicas, mesh.Knob{Kind: mesh.Block, Levels: 3})
	d, err := optimum.NewDynamics(r)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := d.Plan(context.Background(), loads(2, 2, 2))
	if err != nil {
		t.Fatal(err)
	}
	// With one replica half is blocked until a second would pay, which it does not.
	a, err := plan.At(0, mesh.State{})
	if err != nil || a[0] != 1 || a[1] != .5 {
		t.Errorf("%v (%v), want one replica and half of the load blocked", a, err)
	}
	change := []objective.Term{{Weight: -2, Product: []objective.Factor{{Of: objective.Changed}}}}
	r = poolRewards(t, change, replicas)
	if d, err = optimum.NewDynamics(r); err != nil {
		t.Fatal(err)
	}
	seen := loads(1, 1, 1, 3, 1, 1)
	if _, asked := run(t, r, &optimum.Oracle{Dynamics: d, Pattern: load.NewReplay("loads", seen), Steps: len(seen)}, seen); asked != "1 1 1 1 1 1" {
		t.Errorf("changes that cost more than a goal missed were made: %s", asked)
	}
}

func TestDynamicsErrors(t *testing.T) {
	many := []mesh.Knob{replicas}
	many[0].Max, many[0].Up = 60, 300
	for _, tt := range []struct {
		r    *optimum.Rewards
		want string
	}{
		{poolRewards(t, nil, mesh.Knob{Kind: mesh.Block}), "without a knob that takes its time"},
		{poolRewards(t, nil, many...), "configurations of slow knobs; accepted"},
		{poolRewards(t, []objective.Term{{Product: []objective.Factor{{Of: objective.Changed}}}}, replicas, mesh.Knob{Kind: mesh.Block}), "changes of knobs that take no time"},
	} {
		if _, err := optimum.NewDynamics(tt.r); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	d, err := optimum.NewDynamics(poolRewards(t, nil, replicas))
	if err != nil {
		t.Fatal(err)
	}
	c := optimum.NewChain(wave{.1, .1}, load.Ranges{{Min: 0, Max: 4}}, 4, []uint64{1}, 100)
	if _, err := d.Iterate(context.Background(), c, 1); err == nil || !strings.Contains(err.Error(), "discount 1") {
		t.Errorf("discount 1: %v", err)
	}
}
