package testbed

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Changeable is a testbed whose mesh can be made another while it runs.
type Changeable interface {
	Testbed
	control.Configured
	control.Clock
	// Change brings about a condition, from whatever was the last one. It may be
	// called again after an error, which says what is not so yet, and with the same
	// condition. Reset puts the mesh back to as its scenario says.
	Change(ctx context.Context, c change.Condition) error
}

// Changing is a testbed to which changes happen, each before its step. What
// controls it sees nothing of them but what it measures.
type Changing struct {
	Changeable
	Changes []change.Change

	seed uint64
	t    int
	now  change.Condition
	done bool // now is in force
}

var _ Changeable = (*Changing)(nil)

// Reset begins a run; which changes come when follows from seed.
func (c *Changing) Reset(ctx context.Context, seed uint64) error {
	if err := c.Changeable.Reset(ctx, seed); err != nil {
		return err
	}
	c.seed, c.t, c.now, c.done = seed, 0, change.As(c.Space().Layout()), true
	return nil
}

// Condition is that of the last step.
func (c *Changing) Condition() change.Condition { return c.now }

// Measure brings about what is due and makes a step. A change that cannot be made
// marks the step, and is tried again before the next.
func (c *Changing) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if due := change.At(c.Space().Layout(), c.Changes, c.seed, c.t); !due.Equal(c.now) {
		c.now, c.done = due, false
	}
	mark := ""
	if !c.done {
		if err := c.Change(ctx, c.now); err != nil {
			if ctx.Err() != nil {
				return mesh.Measurement{}, ctx.Err()
			}
			mark = fmt.Sprintf("a change could not be made: %v", err)
		} else {
			c.done = true
		}
	}
	x, err := c.Changeable.Measure(ctx, load, a)
	if err != nil {
		return x, err
	}
	c.t++
	if mark != "" {
		if x.Mark != "" {
			mark = x.Mark + "; " + mark
		}
		x.Mark = mark
	}
	return x, nil
}

// Lateness is by how many s replicas come into force later than the space says
// under a condition, for control.Progress.Late: nil where none does.
func Lateness(s *mesh.Space, c change.Condition) []float64 {
	var late []float64
	for h := range s.Knobs() {
		k := &s.Knobs()[h]
		if k.Kind != mesh.Replicas || c.StartUp[k.Of] == 1 {
			continue
		}
		if late == nil {
			late = make([]float64, len(s.Knobs()))
		}
		late[h] = (c.StartUp[k.Of] - 1) * k.Up
	}
	return late
}
