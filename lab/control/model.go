package control

import (
	"context"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Model foresees the steps of a mesh. It is safe for concurrent use; what At
// returns is for one goroutine.
type Model interface {
	// Name says what kind of model it is, for instance "per node".
	Name() string
	// Space is what it knows the effect of.
	Space() *mesh.Space
	// At foresees the step in state s, whose load is kept by the caller while the
	// forecast is used.
	At(s mesh.State) (Forecast, error)
}

// Forecast is what a model says of one state under any action.
type Forecast interface {
	// Set turns to action a, one of those that the space's Validate accepts.
	Set(a mesh.Action) error
	// Mean writes the expected measurement to x: carried loads and mean delays,
	// NaN where no request goes.
	Mean(x *mesh.Measurement)
	// Draws is the number of equally likely steps that stand for the
	// distribution of a step; 1 for a model of means alone.
	Draws() int
	// Draw writes step k of those to x.
	Draw(k int, x *mesh.Measurement)
}

// Numbered is a Forecast that turns to an action of the space by its number
// faster than by its values.
type Numbered interface {
	SetNumber(k int) error
}

// Movable is a Forecast that turns to another state in the memory that it has.
type Movable interface {
	// Move is Model.At of that state; the action has to be set again.
	Move(s mesh.State) error
}

// Batched is a Forecast that foresees many actions at once faster than one by one.
type Batched interface {
	// SetAll foresees actions; Turn turns to number k of them until the next SetAll.
	SetAll(actions []mesh.Action)
	Turn(k int)
}

// Sampled is a Forecast that says what most objectives look at, response times and
// carried loads, faster than measurement by measurement. What it returns is valid
// until the next call of a method.
type Sampled interface {
	// Sample has every stride-th of the draws, from the first on.
	Sample(stride int) objective.Sample
	// MeanSample has the expected measurement, as one draw.
	MeanSample() objective.Sample
}

// Simulator is the System that a model makes: a step is its expected
// measurement, with the knobs that take their time where they are in its middle.
// It is for one goroutine, unlike its model.
type Simulator struct {
	model    Model
	seconds  float64 // of a step
	progress *Progress
	applied  mesh.Action
	x        mesh.Measurement
	load     mesh.Load // that forecast is of
	forecast Forecast
}

var _ Configured = (*Simulator)(nil)

// NewSimulator returns a simulator of model m with steps of that course.
func NewSimulator(m Model, t Timing) *Simulator {
	return &Simulator{model: m, seconds: t.Seconds(), progress: NewProgress(m.Space()), x: mesh.NewMeasurement(m.Space().Layout())}
}

// Name is "simulation".
func (s *Simulator) Name() string { return "simulation" }

// Space is the model's.
func (s *Simulator) Space() *mesh.Space { return s.model.Space() }

// Model is what answers.
func (s *Simulator) Model() Model { return s.model }

// Reset puts the knobs back; a model has no state.
func (s *Simulator) Reset(ctx context.Context, _ uint64) error {
	s.progress.Reset()
	return ctx.Err()
}

// Measure returns the model's expected measurement.
func (s *Simulator) Measure(_ context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if err := CheckStep(s.model.Space(), load, a); err != nil {
		return mesh.Measurement{}, err
	}
	a = s.apply(a)
	if s.forecast == nil || !slices.Equal(s.load, load) {
		s.load = append(s.load[:0], load...)
		var err error
		if s.forecast, err = s.model.At(mesh.State{Load: s.load}); err != nil {
			return mesh.Measurement{}, err
		}
	}
	if err := s.forecast.Set(a); err != nil {
		return mesh.Measurement{}, err
	}
	s.forecast.Mean(&s.x)
	return s.x, nil
}

// Skip is Measure without the measurement, for steps that are valued by their
// action alone.
func (s *Simulator) Skip(load mesh.Load, a mesh.Action) error {
	if err := CheckStep(s.model.Space(), load, a); err != nil {
		return err
	}
	s.apply(a)
	return nil
}

// apply makes a step of the knobs and returns what is in force in it. Where none
// takes its time that is what was asked for.
func (s *Simulator) apply(a mesh.Action) mesh.Action {
	if !s.model.Space().Slow() {
		s.applied = a
		s.progress.Set(a, nil)
		return a
	}
	s.applied = s.progress.Step(a, s.seconds).Action
	return s.applied
}

// Applied is the action that was in force in the last step.
func (s *Simulator) Applied() mesh.Action { return s.applied }

// InForce is the action in force and what is on its way to be.
func (s *Simulator) InForce() (mesh.Action, []mesh.Pending) { return s.progress.InForce() }

// Late has knobs come into force later than the space says; see Progress.
func (s *Simulator) Late(seconds []float64) { s.progress.Late(seconds) }

// Configure goes on from a configuration.
func (s *Simulator) Configure(inForce mesh.Action, pending []mesh.Pending) {
	s.progress.Set(inForce, pending)
}
