// Package testbed measures a real mesh: the control loop that applies an
// action, lets it settle and measures one step, the summary of a step's
// requests, and the collection of traces. The testbeds themselves are in
// testbed/local (HTTP over loopback), testbed/istio (Kubernetes) and
// testbed/virtual (a discrete-event simulation of the same mesh).
package testbed

import (
	"fmt"
	"math"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/sim"
)

// Testbed is a mesh that serves requests. All times and rates that it takes
// and reports are in unscaled units, whatever its time scale.
type Testbed interface {
	sim.System
	Timing() Timing
	// TimeScale divides times and multiplies rates inside the testbed.
	TimeScale() float64
	// Now is the time of day, zero where time is simulated.
	Now() time.Time
	// Close ends what the testbed started.
	Close() error
}

// Timing is the course of one control step in unscaled seconds: the action is
// applied, load is offered for Settle without being measured, then for Step
// with being measured. Then the same load goes on, again unmeasured, until the
// last reply of the measured part has come, so that the queues which the next
// step finds are those of a mesh in service.
type Timing struct {
	Step   float64 // default 5 (paper, Section III)
	Settle float64 // default 0.5; negative means none
}

// Defaults returns t with its zero fields filled in.
func (t Timing) Defaults() Timing {
	if t.Step == 0 {
		t.Step = 5
	}
	if t.Settle == 0 {
		t.Settle = .5
	}
	t.Settle = max(t.Settle, 0)
	return t
}

// CheckStep reports a load or action that does not fit mesh m.
func CheckStep(m mesh.Mesh, load mesh.Load, a mesh.Action) error {
	if len(load) != m.M() {
		return fmt.Errorf("%d loads for %d services", len(load), m.M())
	}
	for i, l := range load {
		if !(l >= 0) || math.IsInf(l, 1) {
			return fmt.Errorf("%s is %v; a load is finite and not negative", m.LoadName(i), l)
		}
	}
	return a.Validate(m)
}
