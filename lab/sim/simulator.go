package sim

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Simulator is a System that answers by a model. Many simulators may share a
// model; one goroutine uses one simulator.
type Simulator struct {
	model *Model
	x     mesh.Measurement
}

var _ System = (*Simulator)(nil)

// NewSimulator returns a simulator of model m.
func NewSimulator(m *Model) *Simulator {
	return &Simulator{model: m, x: mesh.NewMeasurement(m.mesh)}
}

// Name is "simulation".
func (s *Simulator) Name() string { return "simulation" }

// Mesh is the model's mesh.
func (s *Simulator) Mesh() mesh.Mesh { return s.model.mesh }

// Reset has nothing to do: a model has no state.
func (s *Simulator) Reset(ctx context.Context, seed uint64) error { return ctx.Err() }

// Measure returns the model's prediction. The action must be in the model's
// space.
func (s *Simulator) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	k, ok := s.model.space.Index(a)
	if !ok {
		return mesh.Measurement{}, fmt.Errorf("sim: action %s is not one of the %d that the simulator knows, in steps of 1/%d",
			s.model.mesh.FormatAction(a), s.model.space.Len(), s.model.space.Levels()-1)
	}
	y, err := s.model.row(load, k, a)
	if err != nil {
		return mesh.Measurement{}, err
	}
	s.model.measurement(&s.x, y, load, a)
	return s.x, nil
}

// measurement writes the targets y at a load and an action to x.
func (m *Model) measurement(x *mesh.Measurement, y []float64, load mesh.Load, a mesh.Action) {
	s, n := m.mesh.M(), m.mesh.N()
	for c := range s * n {
		x.Node[c].Mean = y[c]
	}
	for i := range s {
		if m.kind == Measured {
			x.Service[i].Mean = y[s*n+i]
			x.Carried[i] = y[s*n+s+i]
			continue
		}
		d := 0.0
		for j := range n {
			d += a.Route[i*n+j] * y[i*n+j]
		}
		x.Service[i].Mean = d
		x.Carried[i] = load[i] * (1 - a.Block[i])
	}
}
