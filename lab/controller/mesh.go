package controller

import (
	"context"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Mesh is what is driven. It is for one goroutine.
type Mesh interface {
	Space() *mesh.Space
	// Step lets one control step pass with action a in force, and returns what was
	// measured in it; nil for a leaves in force what is. What is returned is valid
	// until the next call. An error means that the step was not made or not
	// measured; what is seen before the next step is then still in Next.
	Step(ctx context.Context, a mesh.Action) (Seen, error)
}

// Seen is what is known after a step.
type Seen struct {
	Load        mesh.Load   // that came in the step, requests/s; NaN where that is not known
	Action      mesh.Action // in force in the step
	Measurement mesh.Measurement
	// Next is what a policy sees before the next step. Its load is nil before any
	// is known.
	Next mesh.State
}

// Offered is a testbed under a load that its generator offers. What the policy is
// told of the load is what was counted in the step before, as where users make it.
type Offered struct {
	System control.System // that was reset
	// Pattern and Seed are the load.
	Pattern load.Pattern
	Seed    uint64
	// Announced tells the policy the load of the step to come, as evaluations do.
	Announced bool
	// Past is how many loads of the steps before the policy sees.
	Past int
	// Seconds is the time from one step to the next where the system does not tell
	// the time.
	Seconds float64

	t        int
	now      mesh.Load
	known    []mesh.Load // loads of the steps so far, the last one first; at most Past+1
	last     mesh.Measurement
	measured bool
	inForce  mesh.Action // of a system that does not say so
}

var _ Mesh = (*Offered)(nil)

// Space is the testbed's.
func (o *Offered) Space() *mesh.Space { return o.System.Space() }

// First is what is known before the first step: nothing was measured.
func (o *Offered) First() mesh.State { return o.next() }

// Step offers the load of the next step of the pattern.
func (o *Offered) Step(ctx context.Context, a mesh.Action) (Seen, error) {
	if a == nil {
		a, _ = o.configuration()
	}
	o.now = o.Pattern.At(o.now, o.Seed, o.t)
	o.t++
	x, err := o.System.Measure(ctx, o.now, a)
	if err != nil {
		o.measured = false
		return Seen{Next: o.next()}, err
	}
	o.last, o.measured = x, true
	if _, ok := o.System.(control.Configured); !ok {
		o.inForce = append(o.inForce[:0], a...)
	}
	seen := Seen{Load: x.Generated, Measurement: x}
	if o.Announced {
		seen.Load = o.now
	}
	if c, ok := o.System.(control.Configured); ok {
		seen.Action = c.Applied()
	} else {
		seen.Action = o.inForce
	}
	if !slices.ContainsFunc(seen.Load, math.IsNaN) {
		o.remember(seen.Load)
	}
	seen.Next = o.next()
	return seen, nil
}

// remember keeps the load of a step.
func (o *Offered) remember(l mesh.Load) {
	o.known = slices.Insert(o.known, 0, slices.Clone(l))
	o.known = o.known[:min(len(o.known), o.Past+1)]
}

// configuration is what is in force now, and on its way.
func (o *Offered) configuration() (mesh.Action, []mesh.Pending) {
	if c, ok := o.System.(control.Configured); ok {
		if a, pending := c.InForce(); a != nil {
			return a, pending
		}
	}
	if o.inForce == nil {
		s := o.System.Space()
		o.inForce = s.Action(nil, s.Nearest(s.Default()))
	}
	return o.inForce, nil
}

// next is what is seen before the next step.
func (o *Offered) next() mesh.State {
	s := mesh.State{Delay: make([]float64, o.Space().Mesh().M()), Time: float64(o.t) * o.Seconds}
	for i := range s.Delay {
		s.Delay[i] = math.NaN()
		if o.measured {
			s.Delay[i] = o.last.Service[i].Mean
		}
	}
	if o.measured {
		s.Last = &o.last
	}
	past := o.known
	switch {
	case o.Announced:
		s.Load = o.Pattern.At(nil, o.Seed, o.t)
	case len(past) > 0:
		s.Load, past = past[0], past[1:]
	}
	if s.Load != nil {
		for k := range o.Past {
			if k < len(past) {
				s.Past = append(s.Past, past[k])
			} else {
				s.Past = append(s.Past, slices.Concat(past, []mesh.Load{s.Load})[max(0, len(past)-1)])
			}
		}
	}
	if c, ok := o.System.(control.Clock); ok {
		s.Time = c.Elapsed()
	}
	s.InForce, s.Pending = o.configuration()
	return s
}
