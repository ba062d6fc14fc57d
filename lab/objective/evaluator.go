package objective

import (
	"errors"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Evaluator is an objective bound to a mesh. It reuses its buffers: one
// goroutine at a time.
type Evaluator struct {
	objective Objective
	mesh      mesh.Mesh
	service   []int // index in the mesh of each of the objective's services
	targets   []Target
	outcomes  []Outcome
}

// Bind checks o against mesh m: its services exist and are named once, there
// is one valid target for each, and it has a reward function.
func (o Objective) Bind(m mesh.Mesh) (*Evaluator, error) {
	wrap := func(err error) error { return fmt.Errorf("objective %q: %w", o.Name, err) }
	if o.Reward == nil {
		return nil, wrap(errors.New("it has no Reward function"))
	}
	names := o.Services
	if names == nil {
		names = m.ServiceNames()
	}
	e := &Evaluator{objective: o, mesh: m, targets: o.Targets}
	seen := map[int]bool{}
	for _, name := range names {
		i, err := m.Service(name)
		if err != nil {
			return nil, wrap(err)
		}
		if seen[i] {
			return nil, wrap(fmt.Errorf("service %q is named twice", name))
		}
		seen[i] = true
		e.service = append(e.service, i)
	}
	if e.targets == nil {
		e.targets = PaperTargets()
	}
	if len(e.targets) != len(names) {
		return nil, wrap(fmt.Errorf("%d targets for %d services", len(e.targets), len(names)))
	}
	for k, t := range e.targets {
		if err := t.validate(); err != nil {
			return nil, wrap(fmt.Errorf("target of %s: %w", names[k], err))
		}
	}
	e.outcomes = make([]Outcome, len(names))
	return e, nil
}

// Objective returns what was bound.
func (e *Evaluator) Objective() Objective { return e.objective }

// Reward is the value of a step in which load was offered, action a applied
// and x measured. It is NaN when a carried load that counts is missing.
func (e *Evaluator) Reward(load mesh.Load, a mesh.Action, x mesh.Measurement) float64 {
	for k, i := range e.service {
		d := e.delay(x, i)
		e.outcomes[k] = Outcome{
			Offered: load[i],
			Carried: e.carried(load, a, x, i),
			Delay:   d,
			Utility: e.targets[k].Utility(d),
		}
	}
	return e.objective.Reward(e.outcomes)
}

// Expected is the expected value of a step whose response times are known by
// their distribution: utility holds E[r_i(d_i)] for every service of the mesh.
// It is exact for objectives that are linear in the utilities, as the paper's.
func (e *Evaluator) Expected(load mesh.Load, a mesh.Action, x mesh.Measurement, utility []float64) float64 {
	for k, i := range e.service {
		e.outcomes[k] = Outcome{
			Offered: load[i],
			Carried: e.carried(load, a, x, i),
			Delay:   math.NaN(),
			Utility: utility[i],
		}
	}
	return e.objective.Reward(e.outcomes)
}

func (e *Evaluator) carried(load mesh.Load, a mesh.Action, x mesh.Measurement, i int) float64 {
	if e.objective.Carried == Nominal {
		return load[i] * (1 - a.Block[i])
	}
	return x.Carried[i]
}

// delay is d_i in s; NaN where nothing was answered.
func (e *Evaluator) delay(x mesh.Measurement, i int) float64 {
	if e.objective.Delay == RequestWeighted {
		return x.Service[i].Mean
	}
	n := e.mesh.N()
	d := math.NaN()
	for _, node := range x.Node[i*n : i*n+n] {
		if math.IsNaN(d) || node.Mean > d {
			d = node.Mean
		}
	}
	return d
}

// Target returns the target of the mesh's service i, and false when the
// objective does not look at it.
func (e *Evaluator) Target(i int) (Target, bool) {
	for k := range e.service {
		if e.service[k] == i {
			return e.targets[k], true
		}
	}
	return Target{}, false
}
