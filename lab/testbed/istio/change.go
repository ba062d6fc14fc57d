package istio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Changeable = (*Testbed)(nil)

// Change brings about a condition by the API server: the pods of a node that is
// slower are given that share of the cores that its knob is set to, or where its
// cores are no knob of those that they have, by pods/resize, and the knob is still
// said to be in force. That is all of a condition that a cluster can be told of
// without new pods. A node of this project follows its limit; one of another
// application is throttled by it. What is refused or not answered leaves the rest
// as it was, and can be tried again. Where the process is killed, cores that are no
// knob stay as they are until their pods are deleted.
func (t *Testbed) Change(ctx context.Context, c change.Condition) error {
	l := t.cfg.space.Layout()
	if err := c.Validate(l); err != nil {
		return fmt.Errorf("istio: %w", err)
	}
	rest := change.Condition{Speed: change.As(l).Speed, Work: c.Work, StartUp: c.StartUp}
	for j, speed := range c.Speed {
		if speed == 0 {
			rest.Speed[j] = speed
		}
	}
	if !rest.Equal(change.As(l)) {
		return fmt.Errorf("istio: a mesh with %s; accepted: slower nodes", rest.Say(l))
	}
	return t.plane.change(ctx, c)
}

// change gives nodes their share of cores; on an error all have what they had.
func (p *plane) change(ctx context.Context, c change.Condition) error {
	begin := context.WithoutCancel(ctx) // it does not end half-way
	patient, cancel := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	for j, speed := range c.Speed {
		if speed != 1 {
			if err := p.cores.take(patient, j); err != nil {
				return fmt.Errorf("istio: %w", err)
			}
		}
	}
	var before []float64
	for _, z := range p.cores.all {
		before = append(before, z.share)
		z.share = c.Speed[z.of]
	}
	err := p.cores.fit(patient)
	if err == nil {
		return nil
	}
	for k, z := range p.cores.all {
		z.share = before[k]
	}
	undo, cancelUndo := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancelUndo()
	if e := p.cores.fit(undo); e != nil {
		err = errors.Join(err, fmt.Errorf("putting back: %w", e))
	}
	return fmt.Errorf("istio: %w", err)
}
