// Package testbed measures a real mesh: the control loop that applies an
// action, lets it settle and measures one step, the summary of a step's
// requests, and the collection of traces. The testbeds themselves are in
// testbed/local (HTTP over loopback), testbed/istio (Kubernetes), testbed/http
// (an application that is deployed already, behind a front of ours) and
// testbed/virtual (a discrete-event simulation of the same mesh).
package testbed

import (
	"time"

	"github.com/meshbench/meshbench/lab/control"
)

// Testbed is a mesh that serves requests. All times and rates that it takes
// and reports are in unscaled units, whatever its time scale.
type Testbed interface {
	control.System
	Timing() control.Timing
	// TimeScale divides times and multiplies rates inside the testbed.
	TimeScale() float64
	// Now is the time of day, zero where time is simulated.
	Now() time.Time
	// Close ends what the testbed started.
	Close() error
}
