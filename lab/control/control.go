// Package control is the control loop's environment (paper, Section II): the
// interface of everything that is under control, simulators and testbeds alike,
// and an Env, which offers it load and values its steps by an objective. A
// policy, an evaluation and a notebook cell cannot tell which they have.
package control

import (
	"context"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// System is a mesh under control, one step at a time: a simulator made of a
// model, or a testbed.
type System interface {
	// Name tells what answers: "simulation", "virtual", "local", "istio".
	Name() string
	// Space is what can be controlled.
	Space() *mesh.Space
	// Reset begins a run: queues are emptied, every random draw starts again
	// from seed.
	Reset(ctx context.Context, seed uint64) error
	// Measure offers load for one control step under action a, which need not be
	// on the space's grid, and returns what was measured, valid until the next
	// call. An error means that the step was not made; what disturbed a step
	// that was made is in its Mark.
	Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error)
}

// Configured is a System in which knobs take their time: what was asked for is
// in force later.
type Configured interface {
	System
	// Applied is the action that was in force in the last step, when it began.
	Applied() mesh.Action
	// InForce is the action in force now and what is on its way to be.
	InForce() (mesh.Action, []mesh.Pending)
}

// Clock is a System that knows how much time has passed in its run.
type Clock interface {
	Elapsed() float64 // s
}

// Timing is the course of one control step in unscaled seconds: the action is
// applied, load is offered for Settle without being measured, then for Step
// with being measured. Then the same load goes on, again unmeasured, until the
// last reply of the measured part has come, so that the queues which the next
// step finds are those of a mesh in service.
type Timing struct {
	Step   float64 `json:"step,omitempty"`   // default 5
	Settle float64 `json:"settle,omitempty"` // default 0.5; negative means none
}

// Defaults returns t with its zero fields filled in.
func (t Timing) Defaults() Timing {
	if t.Step == 0 {
		t.Step = 5
	}
	if t.Settle == 0 {
		t.Settle = .5
	}
	return t
}

// Settling is the unmeasured beginning of a step in s.
func (t Timing) Settling() float64 { return max(t.Defaults().Settle, 0) }

// Seconds is the time from one step to the next.
func (t Timing) Seconds() float64 { return t.Settling() + t.Defaults().Step }

// Validate reports a time that is not accepted.
func (t Timing) Validate() error {
	if t = t.Defaults(); !(t.Step > 0 && t.Step <= 86400) || !(t.Settle <= 86400) {
		return fmt.Errorf("step of %v s, settling for %v s; accepted: a step above 0, both at most 86400", t.Step, t.Settle)
	}
	return nil
}

// CheckStep reports a load or action that does not fit what s controls.
func CheckStep(s *mesh.Space, load mesh.Load, a mesh.Action) error {
	m := s.Mesh()
	if len(load) != m.M() {
		return fmt.Errorf("%d loads for the %d services of %s", len(load), m.M(), m)
	}
	for i, l := range load {
		if !(l >= 0) || math.IsInf(l, 1) {
			return fmt.Errorf("load %s is %v requests/s; accepted: a finite number >= 0", m.LoadName(i), l)
		}
	}
	return s.Validate(a)
}

// Step is what one control step gave. Its slices are valid until the next.
type Step struct {
	T           int // 0, 1, ... since Reset
	Load        mesh.Load
	Asked       mesh.Action
	Action      mesh.Action // that was in force: what was asked, but for knobs that take their time
	Measurement mesh.Measurement
	Cost        float64    // paid per s for what is in force or on its way
	Missed      bool       // a service of the objective missed its goal
	Reward      float64    // NaN when a carried load is missing
	Next        mesh.State // what the policy sees next
}

// Valuer values a step in another way than by its objective, for instance by
// the expected reward of a model.
type Valuer func(objective.Step) (float64, error)

// Config holds the settings of NewEnv.
type Config struct {
	// Space has the actions, of the same mesh and knobs as the system's. Default
	// the system's.
	Space *mesh.Space
	// Past is how many loads of the steps before a state has. Default 0.
	Past int
	// Value values the steps. Default the objective, of what was measured.
	Value Valuer
	// Seconds is the time from one step to the next, where the system does not
	// tell the time. Default that of a step of the default Timing.
	Seconds float64
}

// Env is a system under an offered load, valued by an objective. One goroutine
// uses one Env.
type Env struct {
	system    System
	pattern   load.Pattern
	objective objective.Objective
	evaluator *objective.Evaluator
	value     Valuer
	seconds   float64
	space     *mesh.Space
	past      int

	seed   uint64
	t      int
	state  mesh.State
	now    mesh.Load
	last   mesh.Measurement
	before mesh.Action // asked for in the step before; nil in the first
	asked  mesh.Action
	buffer mesh.Action
}

// NewEnv offers the loads of pattern p to system s and values its steps by o.
func NewEnv(s System, p load.Pattern, o objective.Objective, cfg Config) (*Env, error) {
	if cfg.Space == nil {
		cfg.Space = s.Space()
	}
	if !cfg.Space.Same(s.Space()) {
		return nil, fmt.Errorf("control: the actions are for %s, the system is %s", cfg.Space, s.Space())
	}
	e, err := o.Bind(cfg.Space)
	if err != nil {
		return nil, err
	}
	if cfg.Value == nil {
		cfg.Value = func(s objective.Step) (float64, error) { return e.Reward(&s), nil }
	}
	if cfg.Seconds == 0 {
		cfg.Seconds = Timing{}.Seconds()
	}
	return &Env{system: s, pattern: p, objective: o, evaluator: e, value: cfg.Value, space: cfg.Space, past: cfg.Past, seconds: cfg.Seconds}, nil
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
		return mesh.State{}, fmt.Errorf("control: reset %s: %w", e.system.Name(), err)
	}
	delays := make([]float64, e.space.Mesh().M())
	for i := range delays {
		delays[i] = math.NaN()
	}
	e.Resume(seed, 0, delays)
	return e.state, nil
}

// configuration fills in how the knobs are set, where the system says so.
func (e *Env) configuration() {
	if c, ok := e.system.(Configured); ok {
		inForce, pending := c.InForce()
		e.state.InForce = append(e.state.InForce[:0], inForce...)
		e.state.Pending = append(e.state.Pending[:0], pending...)
	}
}

// At tells where the run is: its seed, its next step and what is seen before
// it. The state's slices are valid until the next call.
func (e *Env) At() (seed uint64, t int, s mesh.State) { return e.seed, e.t, e.state }

// Resume goes on at step t of the run of that seed with the given response
// times, for a system without a memory but how its knobs are set, which it was
// told before.
func (e *Env) Resume(seed uint64, t int, delays []float64) {
	e.seed, e.t = seed, t
	e.state.Delay = append(e.state.Delay[:0], delays...)
	e.state.InForce, e.state.Pending, e.state.Time = nil, nil, float64(t)*e.seconds
	e.state.Last = nil
	e.configuration()
	e.look()
}

// look fills in the loads that are seen before step t.
func (e *Env) look() {
	e.state.Load = e.pattern.At(e.state.Load, e.seed, e.t)
	for len(e.state.Past) < e.past {
		e.state.Past = append(e.state.Past, nil)
	}
	for k := range e.state.Past {
		e.state.Past[k] = e.pattern.At(e.state.Past[k], e.seed, max(e.t-1-k, 0))
	}
}

// Step applies action a for one step. An error means that no step was made.
func (e *Env) Step(ctx context.Context, a mesh.Action) (Step, error) {
	if e.state.Load == nil {
		panic("control: Env.Step before Reset")
	}
	if e.before = nil; e.t > 0 {
		e.before = e.space.Asked(e.buffer, e.state.InForce, e.state.Pending)
		e.buffer = e.before
	}
	x, err := e.system.Measure(ctx, e.state.Load, a)
	if err != nil {
		return Step{}, fmt.Errorf("control: step %d on %s: %w", e.t, e.system.Name(), err)
	}
	e.now = append(e.now[:0], e.state.Load...)
	applied := a
	if c, ok := e.system.(Configured); ok {
		applied = c.Applied()
		e.configuration()
	} else {
		e.state.InForce = append(e.state.InForce[:0], a...)
	}
	e.asked = e.space.Asked(e.asked, e.state.InForce, e.state.Pending)
	s := Step{T: e.t, Load: e.now, Asked: e.asked, Action: applied, Measurement: x, Cost: e.space.Paid(e.state.InForce, e.state.Pending)}
	seen := objective.Step{Load: e.now, Action: applied, Asked: e.asked, Before: e.before, Cost: s.Cost, Measurement: x}
	if s.Reward, err = e.value(seen); err != nil {
		return Step{}, fmt.Errorf("control: value step %d: %w", e.t, err)
	}
	s.Missed = e.evaluator.Missed(&seen)
	e.t++
	for i := range e.state.Delay {
		e.state.Delay[i] = x.Service[i].Mean
	}
	e.last = x
	e.state.Last = &e.last
	e.state.Time = float64(e.t) * e.seconds
	if c, ok := e.system.(Clock); ok {
		e.state.Time = c.Elapsed()
	}
	e.look()
	s.Next = e.state
	return s, nil
}
