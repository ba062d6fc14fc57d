package sim

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Step is what one control step gave. Its slices are valid until the next.
type Step struct {
	T           int // 0, 1, ... since Reset
	Load        mesh.Load
	Action      mesh.Action
	Measurement mesh.Measurement
	Reward      float64    // NaN when a carried load is missing
	Next        mesh.State // what the policy sees next
}

// Env is the control loop's environment (paper, Section II): a system under an
// offered load, valued by an objective. The system may be a simulator or a
// testbed; nothing else differs. One goroutine uses one Env.
type Env struct {
	system    System
	pattern   load.Pattern
	objective objective.Objective
	value     func(mesh.Load, mesh.Action, mesh.Measurement) (float64, error)
	space     *mesh.Space

	seed  uint64
	t     int
	state mesh.State
	now   mesh.Load
}

// NewEnv offers the loads of pattern p to system s and values its steps by o.
// Actions are those of space; nil means the paper's six levels.
func NewEnv(s System, p load.Pattern, o objective.Objective, space *mesh.Space) (*Env, error) {
	e, err := o.Bind(s.Mesh())
	if err != nil {
		return nil, err
	}
	if space == nil {
		space = mesh.NewSpace(s.Mesh(), 0)
	}
	if space.Mesh().String() != s.Mesh().String() {
		return nil, fmt.Errorf("sim: the action space is for %s, the system is %s", space.Mesh(), s.Mesh())
	}
	value := func(l mesh.Load, a mesh.Action, x mesh.Measurement) (float64, error) { return e.Reward(l, a, x), nil }
	return &Env{system: s, pattern: p, objective: o, value: value, space: space}, nil
}

// NewEnv offers the loads of pattern p to a simulator of the rewards' model,
// and pays what r says: the same as sim.NewEnv of the same objective unless
// rewards are expected ones.
func (r *Rewards) NewEnv(p load.Pattern) *Env {
	value := func(l mesh.Load, a mesh.Action, _ mesh.Measurement) (float64, error) {
		k, _ := r.model.space.Index(a)
		return r.one(l, k)
	}
	return &Env{system: NewSimulator(r.model), pattern: p, objective: r.objective, value: value, space: r.model.space}
}

// System is what is controlled.
func (e *Env) System() System { return e.system }

// Space is the action space.
func (e *Env) Space() *mesh.Space { return e.space }

// Objective is what values the steps.
func (e *Env) Objective() objective.Objective { return e.objective }

// Pattern is the offered load.
func (e *Env) Pattern() load.Pattern { return e.pattern }

// Reset begins a run and returns its first state: the load of step 0, and
// response times that are missing. The load and every draw of the system
// follow from seed. The state's slices are valid until the next call.
func (e *Env) Reset(ctx context.Context, seed uint64) (mesh.State, error) {
	if err := e.system.Reset(ctx, seed); err != nil {
		return mesh.State{}, fmt.Errorf("sim: reset %s: %w", e.system.Name(), err)
	}
	e.seed, e.t = seed, 0
	if e.state.Delay == nil {
		e.state.Delay = make([]float64, e.system.Mesh().M())
	}
	for i := range e.state.Delay {
		e.state.Delay[i] = mesh.NoDelay().Mean
	}
	e.state.Load = e.pattern.At(e.state.Load, seed, 0)
	return e.state, nil
}

// Step applies action a for one step. An error means that no step was made.
func (e *Env) Step(ctx context.Context, a mesh.Action) (Step, error) {
	if e.state.Load == nil {
		panic("sim: Env.Step before Reset")
	}
	x, err := e.system.Measure(ctx, e.state.Load, a)
	if err != nil {
		return Step{}, fmt.Errorf("sim: step %d on %s: %w", e.t, e.system.Name(), err)
	}
	e.now = append(e.now[:0], e.state.Load...)
	s := Step{T: e.t, Load: e.now, Action: a, Measurement: x}
	if s.Reward, err = e.value(e.now, a, x); err != nil {
		return Step{}, fmt.Errorf("sim: value step %d: %w", e.t, err)
	}
	e.t++
	for i := range e.state.Delay {
		e.state.Delay[i] = x.Service[i].Mean
	}
	e.state.Load = e.pattern.At(e.state.Load, e.seed, e.t)
	s.Next = e.state
	return s, nil
}
