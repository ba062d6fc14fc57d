package control

import (
	"context"

	"github.com/meshbench/meshbench/lab/mesh"
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

// Simulator is the System that a model makes: a step is its expected
// measurement. It is for one goroutine, unlike its model.
type Simulator struct {
	model    Model
	x        mesh.Measurement
	load     mesh.Load // that forecast is of
	forecast Forecast
}

var _ System = (*Simulator)(nil)

// NewSimulator returns a simulator of model m.
func NewSimulator(m Model) *Simulator {
	return &Simulator{model: m, x: mesh.NewMeasurement(m.Space().Layout())}
}

// Name is "simulation".
func (s *Simulator) Name() string { return "simulation" }

// Space is the model's.
func (s *Simulator) Space() *mesh.Space { return s.model.Space() }

// Model is what answers.
func (s *Simulator) Model() Model { return s.model }

// Reset has nothing to do: a model has no state.
func (s *Simulator) Reset(ctx context.Context, _ uint64) error { return ctx.Err() }

// Measure returns the model's expected measurement.
func (s *Simulator) Measure(_ context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if err := CheckStep(s.model.Space(), load, a); err != nil {
		return mesh.Measurement{}, err
	}
	if s.forecast == nil || !same(s.load, load) {
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

func same(a, b mesh.Load) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
