// Package testbed measures a real mesh: the control loop that applies an
// action, lets it settle and measures one step, the summary of a step's
// requests, and the collection of traces. The testbeds themselves are in
// testbed/local (HTTP over loopback), testbed/istio (Kubernetes), testbed/http
// (an application that is deployed already, behind a front of ours) and
// testbed/virtual (a discrete-event simulation of the same mesh).
package testbed

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
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

// CheckKnobs reports a knob of a kind that a testbed cannot set.
func CheckKnobs(space *mesh.Space, kinds ...mesh.Kind) error {
	var names []string
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	for _, k := range space.Knobs() {
		if !slices.Contains(kinds, k.Kind) {
			return fmt.Errorf("knob %s is of kind %s, which nothing here can set; accepted: %s", k.Name, k.Kind, strings.Join(names, ", "))
		}
	}
	return nil
}
