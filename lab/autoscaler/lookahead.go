package autoscaler

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Lookahead sets the replicas of every node that has such a knob to as many as
// keep its utilisation at or below a bound, at the load of the moment and at the
// one that is to be expected when replicas that are asked for now will serve:
// the straight line through the last loads, prolonged by the knob's Up and a
// step.
type Lookahead struct {
	Space *mesh.Space
	Label string // its name; default "lookahead"
	// Time is the mean time in s that a request of each of the layout's
	// microservices keeps a server of speed 1 busy.
	Time []float64
	// Bound is the highest utilisation. If 0, it will be defaulted to 0.7.
	Bound float64
	// Window is how many loads the line goes through, with the present one: those
	// of State.Past where it has any, else those that the policy has seen. Default
	// 6; 1 does not look ahead.
	Window int
	// Base decides the other knobs. Default as without control.
	Base policy.Policy

	frame frame
	knobs []int
	seen  []mesh.Load // the last one first
	began bool
	time  float64 // s; of the step before
	trend mesh.Load
}

// Name is the label.
func (p *Lookahead) Name() string { return or(p.Label, "lookahead") }

// SeesDelays reports whether the base does; the rule goes by load alone.
func (p *Lookahead) SeesDelays() bool { return p.Base != nil && policy.SeesDelays(p.Base) }

// Reset begins a run.
func (p *Lookahead) Reset(seed uint64) {
	p.seen, p.began = p.seen[:0], false
	reset(p.Base, seed)
}

// Act sets the replicas. It is an error for a space without them, and for times
// that are not those of its microservices.
func (p *Lookahead) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, p.Base, s); err != nil {
		return nil, err
	}
	l := p.Space.Layout()
	if len(p.Time) != len(l.Microservices) {
		return nil, fmt.Errorf("autoscaler: %s has %d service times for the %d microservices of %s", p.Name(), len(p.Time), len(l.Microservices), l.Mesh)
	}
	if p.knobs == nil {
		var err error
		if p.knobs, err = knobs(p.Name(), p.Space, mesh.Replicas); err != nil {
			return nil, err
		}
	}
	step := 0.0 // s; unknown in the first
	if p.began {
		step = s.Time - p.time
	}
	past := s.Past
	if len(past) == 0 {
		past = p.seen
	}
	p.trend = Trend(p.trend, s.Load, past[:min(len(past), or(p.Window, 6)-1)])
	for _, h := range p.knobs {
		k := &p.Space.Knobs()[h]
		ahead := 0.0 // steps
		if step > 0 {
			ahead = k.Up/step + 1
		}
		p.frame.scale(h, Servers(max(p.work(s.Load, k.Of, 0), p.work(s.Load, k.Of, ahead)), or(p.Bound, .7)))
	}
	p.remember(s)
	return p.frame.done(), nil
}

// work is how many servers the load keeps busy on node j so many steps ahead.
func (p *Lookahead) work(load mesh.Load, j int, ahead float64) float64 {
	sum, a := 0.0, p.frame.action
	for c, call := range p.Space.Layout().Calls {
		i := call.Service
		rate := max(0, load[i]+float64(p.trend[i]*ahead)) * (1 - p.Space.BlockOf(a, i))
		for k, share := range p.Space.RouteOf(a, c) {
			if call.Nodes[k] == j {
				sum += rate * share * p.Time[call.Microservice]
			}
		}
	}
	if sum == 0 {
		return 0 // whatever the speed
	}
	return sum / speed(p.Space, a, j)
}

func (p *Lookahead) remember(s mesh.State) {
	p.began, p.time = true, s.Time
	var last mesh.Load
	if n := or(p.Window, 6) - 1; len(p.seen) >= n {
		if n < 1 {
			return
		}
		last = p.seen[n-1]
		p.seen = p.seen[:n-1]
	}
	last = append(last[:0], s.Load...)
	p.seen = append(p.seen, nil)
	copy(p.seen[1:], p.seen)
	p.seen[0] = last
}
