// Package sim turns a system model into an environment: a model of the mesh
// that answers (load, action) with delays, the environment interface that
// simulators and testbeds share, and the optimal reward by enumeration of the
// action space (paper, Sections IV and V).
package sim

import (
	"context"

	"github.com/meshbench/meshbench/lab/mesh"
)

// System is a mesh under control, one step at a time: a learned Model, or a
// testbed. A policy, an evaluation and a notebook cell cannot tell which.
type System interface {
	// Name tells what answers: "simulation", "virtual", "local", "istio".
	Name() string
	Mesh() mesh.Mesh
	// Reset begins a run: queues are emptied, every random draw starts again
	// from seed. The same seed and the same steps give a simulator the same
	// measurements, and a testbed the same requests.
	Reset(ctx context.Context, seed uint64) error
	// Measure applies action a, offers load (requests/s per service) for one
	// step and returns what was seen. Load and action are only read. The
	// result's slices are valid until the next call and must not be changed.
	// A disturbed step is marked in the measurement; an error means that no
	// step was made: a load or action that does not fit, a cancelled context,
	// a testbed that is gone.
	Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error)
}
