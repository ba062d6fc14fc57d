// Package testbed measures a real mesh: the control loop that applies an
// action, lets it settle and measures one step, the summary of a step's
// requests, and the collection of traces. The testbeds themselves are in
// testbed/local (HTTP over loopback), testbed/istio (Kubernetes), testbed/http
// (an application that is deployed already, behind a front of ours) and
// testbed/virtual (a discrete-event simulation of the same mesh).
package testbed

import (
	"fmt"
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

// Time scales that a testbed keeps: beyond them steps are too short to be measured,
// or too long to be waited for.
const (
	MinTimeScale = .001
	MaxTimeScale = 1000
)

// CheckTimeScale reports a time scale that no testbed keeps.
func CheckTimeScale(k float64) error {
	if !(k >= MinTimeScale && k <= MaxTimeScale) {
		return fmt.Errorf("time scale %v; accepted: %v to %v, and 1 is real time", k, MinTimeScale, MaxTimeScale)
	}
	return nil
}
