package rollout_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/rollout"
)

// exact is the expected discounted reward of an action and then a base, over the
// chain's loads, so many steps after the first: by adding up over all paths.
type exact struct {
	r       *optimum.Rewards
	base    policy.Policy
	chain   *optimum.Chain
	horizon int
	gamma   float64
	known   map[string]float64
	t       *testing.T
}

func (x *exact) value(s mesh.State, a mesh.Action, left int) float64 {
	key := fmt.Sprint(x.chain.Of(s.Load), s.Load, s.InForce, s.Pending, a, left)
	if v, ok := x.known[key]; ok {
		return v
	}
	p := control.NewProgress(x.r.Space())
	p.Set(s.InForce, s.Pending)
	step := p.Step(a, x.r.Timing().Seconds())
	step.Load = s.Load
	v, err := x.r.Step(step)
	if err != nil {
		x.t.Fatal(err)
	}
	if left > 0 {
		inForce, pending := p.InForce()
		for _, n := range x.chain.Next[x.chain.Of(s.Load)] {
			next := mesh.State{Load: x.chain.Loads[n.Cell], Delay: s.Delay, InForce: inForce.Clone(), Pending: append([]mesh.Pending(nil), pending...)}
			b, err := x.base.Act(next)
			if err != nil {
				x.t.Fatal(err)
			}
			v += x.gamma * n.Probability * x.value(next, b.Clone(), left-1)
		}
	}
	x.known[key] = v
	return v
}

// What an action is worth by samples comes to what it is worth exactly, its error
// falling as one over the root of their number; under common random numbers the
// best action is found long before the values are right.
func TestMonteCarlo(t *testing.T) {
	r := rewards(t, 1, replicas)
	pattern := load.Bursty{Ranges: load.Ranges{{Min: 1, Max: 3}}, Regimes: []load.Regime{{Level: 0, Sojourn: 6}, {Level: 1, Sojourn: 4}}}
	chain := optimum.NewChain(pattern, load.Ranges{{Min: 0, Max: 4}}, 4, []uint64{1, 2, 3}, 3000)
	const horizon, gamma = 8, .95
	base := policy.Greedy{Optimum: r}
	x := &exact{r, base, chain, horizon, gamma, map[string]float64{}, t}
	var states []mesh.State
	for _, l := range chain.Loads {
		for n := 1.; n <= 3; n++ {
			states = append(states, mesh.State{Load: l, Delay: []float64{math.NaN()}, InForce: mesh.Action{n}})
		}
	}
	counts := []int{1, 4, 16, 64, 256}
	var errs, regrets []float64
	for _, samples := range counts {
		square, regret, n := 0.0, 0.0, 0
		for seed := range uint64(24) {
			for _, s := range states {
				p := &rollout.Policy{Rewards: r, Base: base, Loads: rollout.Chain{Chain: chain}, Samples: samples, Horizon: horizon, Gamma: gamma}
				p.Reset(seed * 1000)
				a, err := p.Act(s)
				if err != nil {
					t.Fatal(err)
				}
				a = a.Clone()
				v := x.value(s, a, horizon)
				d := p.Worth - v
				square += d * d
				best := math.Inf(-1)
				for u := 1.; u <= 4; u++ {
					best = max(best, x.value(s, mesh.Action{u}, horizon))
				}
				regret += best - v
				n++
			}
		}
		errs, regrets = append(errs, math.Sqrt(square/float64(n))), append(regrets, regret/float64(n))
	}
	t.Logf("samples %v: error of the value %.4f, lost by the action %.4f", counts, errs, regrets)
	// 256 times as many samples: a sixteenth of the error.
	if ratio := errs[0] / errs[len(errs)-1]; ratio < 8 || ratio > 32 || !slices.IsSortedFunc(errs, func(a, b float64) int { return cmp.Compare(b, a) }) {
		t.Errorf("errors %.4f of %v samples; want a sixteenth from the first to the last", errs, counts)
	}
	if last := len(counts) - 1; regrets[last] > .002 || regrets[last] > regrets[0] {
		t.Errorf("with %d samples the action loses %.4f, with one %.4f", counts[last], regrets[last], regrets[0])
	}
}

// A state that the horizon ends in is worth what Value says; with the value of the
// base in the present model a look one step ahead is one that looks to the end.
func TestValue(t *testing.T) {
	r := rewards(t, 1, replicas)
	base := policy.Static{Action: mesh.Action{2}}
	long := &rollout.Policy{Rewards: r, Base: base, Horizon: 400}
	s := mesh.State{Load: mesh.Load{2.5}, Delay: []float64{math.NaN()}, InForce: mesh.Action{1}}
	worth := func(s mesh.State) float64 { // of the base from s on, by playing it
		p := control.NewProgress(r.Space())
		p.Set(s.InForce, s.Pending)
		sum, weight := 0.0, 1.0
		for range 400 {
			step := p.Step(base.Action, r.Timing().Seconds())
			step.Load = s.Load
			v, err := r.Step(step)
			if err != nil {
				t.Fatal(err)
			}
			sum, weight = sum+weight*v, weight*.95
		}
		return sum
	}
	short := &rollout.Policy{Rewards: r, Base: base, Horizon: 1, Value: worth}
	var got [2]mesh.Action
	for k, p := range []*rollout.Policy{long, short} {
		p.Reset(1)
		a, err := p.Act(s)
		if err != nil {
			t.Fatal(err)
		}
		got[k] = a.Clone()
	}
	if !slices.Equal(got[0], got[1]) || math.Abs(long.Worth-short.Worth) > 1e-6 {
		t.Errorf("to the end %v, worth %v; one step and the base's value %v, worth %v", got[0], long.Worth, got[1], short.Worth)
	}
}
