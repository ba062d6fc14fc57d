// Package policy holds what decides the action of each control step: learned
// policies, and those that a learned one must beat under the same loads:
// random, static, proportional and greedy on a model.
package policy

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/sim"
)

// Policy chooses an action from the state of a mesh. One goroutine uses one
// policy.
type Policy interface {
	// Name identifies the policy in files and figures, for instance "ppo".
	Name() string
	// Reset begins a run; whatever the policy draws follows from seed.
	Reset(seed uint64)
	// Act returns the action for state s. It must not be changed, and is valid
	// until the next call.
	Act(s mesh.State) (mesh.Action, error)
}

// Random draws actions uniformly from a space.
type Random struct {
	Space *mesh.Space
	rng   *rand.Rand
}

// Name is "random".
func (p *Random) Name() string { return "random" }

// Reset seeds the draws.
func (p *Random) Reset(seed uint64) { p.rng = rand.New(rand.NewPCG(seed, 0x706f6c696379)) }

// Act draws an action.
func (p *Random) Act(mesh.State) (mesh.Action, error) {
	if p.rng == nil {
		p.Reset(0)
	}
	return p.Space.At(p.rng.IntN(p.Space.Len())), nil
}

// Static always takes the same action.
type Static struct {
	Label  string // its name; default "static"
	Action mesh.Action
}

// Name is the label.
func (p Static) Name() string {
	if p.Label == "" {
		return "static"
	}
	return p.Label
}

// Reset does nothing.
func (p Static) Reset(uint64) {}

// Act returns the action.
func (p Static) Act(mesh.State) (mesh.Action, error) { return p.Action, nil }

// Proportional is the rule that an operator would set without learning: each
// service is routed in proportion to the nodes' capacity, and as much is
// blocked, the same fraction of every service, as keeps the nodes' utilisation
// at or below a bound.
type Proportional struct {
	Space *mesh.Space
	// ServiceTime is the mean time in s that a request of each service keeps a
	// node of capacity 1 busy, length m.
	ServiceTime []float64
	// Capacity of each node; default 1 each.
	Capacity []float64
	// Bound is the highest utilisation. If 0, it will be defaulted to 0.7.
	Bound float64
}

// Name is "proportional".
func (p Proportional) Name() string { return "proportional" }

// Reset does nothing.
func (p Proportional) Reset(uint64) {}

// Act returns the action of the space that is nearest to the rule, with
// blocking rounded up so that the bound holds.
func (p Proportional) Act(s mesh.State) (mesh.Action, error) {
	m := p.Space.Mesh()
	if len(p.ServiceTime) != m.M() {
		return mesh.Action{}, fmt.Errorf("policy: proportional has %d service times for the %d services of %s", len(p.ServiceTime), m.M(), m)
	}
	bound := p.Bound
	if bound == 0 {
		bound = .7
	}
	total, work := 0.0, 0.0
	capacity := make([]float64, m.N())
	for j := range capacity {
		capacity[j] = 1
		if p.Capacity != nil {
			capacity[j] = p.Capacity[j]
		}
		total += capacity[j]
	}
	a := mesh.Action{Block: make([]float64, m.M())}
	for i := range m.M() {
		work += s.Load[i] * p.ServiceTime[i]
		for j := range capacity {
			a.Route = append(a.Route, capacity[j]/total)
		}
	}
	if over := work / (bound * total); over > 1 {
		steps := float64(p.Space.Levels() - 1)
		for i := range a.Block {
			a.Block[i] = math.Ceil((1-1/over)*steps-1e-9) / steps
		}
	}
	return p.Space.At(p.Space.Nearest(a)), nil
}

// Greedy takes, for the load of the moment, the first of the actions that are
// best by enumeration under a model. On the model that evaluates it, it is the
// optimum.
type Greedy struct {
	Rewards *sim.Rewards
	Label   string // its name; default "greedy"
}

// Name is the label.
func (p Greedy) Name() string {
	if p.Label == "" {
		return "greedy"
	}
	return p.Label
}

// Reset does nothing.
func (p Greedy) Reset(uint64) {}

// Act enumerates.
func (p Greedy) Act(s mesh.State) (mesh.Action, error) {
	t, err := p.Rewards.At(s.Load)
	if err != nil {
		return mesh.Action{}, err
	}
	return p.Rewards.Model().Space().At(t.Action[0]), nil
}

// BestConstant returns the static policy whose action has the highest mean of
// reward / optimal reward over the given loads.
func BestConstant(r *sim.Rewards, loads []mesh.Load) (Static, error) {
	space := r.Model().Space()
	score := make([]float64, space.Len())
	for _, l := range loads {
		t, err := r.At(l)
		if err != nil {
			return Static{}, err
		}
		if t.Best <= 0 {
			continue
		}
		for k, v := range t.Reward {
			score[k] += v / t.Best
		}
	}
	best := 0
	for k := range score {
		if score[k] > score[best] {
			best = k
		}
	}
	return Static{Label: "constant", Action: space.At(best)}, nil
}
