package autoscaler

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// frame is the action that a policy is making, and what was asked for before.
type frame struct {
	space  *mesh.Space
	action mesh.Action
	asked  mesh.Action // empty before the first step
	known  bool        // asked is
}

// begin starts with the action of base, that without control where it is nil.
func (f *frame) begin(space *mesh.Space, base policy.Policy, s mesh.State) error {
	if f.known = s.InForce != nil; f.known {
		f.asked = space.Asked(f.asked, s.InForce, s.Pending)
	}
	f.space = space
	a := space.Default()
	if base != nil {
		var err error
		if a, err = base.Act(s); err != nil {
			return err
		}
	}
	if err := space.Validate(a); err != nil {
		return err
	}
	f.action = append(f.action[:0], a...)
	for h := range space.Knobs() {
		k := &space.Knobs()[h]
		f.move(h, k.Nearest(k.Values(a)))
	}
	return nil
}

// move puts knob h to point u, or as near to it as one step allows.
func (f *frame) move(h, u int) {
	k := &f.space.Knobs()[h]
	if k.Step > 0 && f.known {
		from := k.Nearest(k.Values(f.asked))
		u = min(max(u, from-k.Step), from+k.Step)
	}
	copy(k.Values(f.action), k.Points[u])
}

// done is the action, made to fit the space's limits.
func (f *frame) done() mesh.Action {
	f.action = f.space.Clamp(f.action)
	return f.action
}

// replicas of knob h: those that were asked for, and how many of them serve.
// Before the first step it is where the knob is without control.
func (f *frame) replicas(h int, s mesh.State) (asked, ready int) {
	k := &f.space.Knobs()[h]
	if !f.known {
		n := int(k.Points[k.Default][0])
		return n, n
	}
	asked = int(math.Round(k.Values(f.asked)[0]))
	// What is on its way down is no longer the rule's to count on.
	return asked, min(asked, int(math.Round(k.Values(s.InForce)[0])))
}

// scale asks for so many replicas of knob h: the lowest point that has them,
// else the highest.
func (f *frame) scale(h, replicas int) {
	k := &f.space.Knobs()[h]
	best := 0
	for u, p := range k.Points {
		enough, had := p[0] >= float64(replicas), k.Points[best][0] >= float64(replicas)
		switch {
		case enough && (!had || p[0] < k.Points[best][0]), !enough && !had && p[0] > k.Points[best][0]:
			best = u
		}
	}
	f.move(h, best)
}

// block turns away about a share of the requests of knob h: the point nearest to
// it of those up to most.
func (f *frame) block(h int, share, most float64) {
	k := &f.space.Knobs()[h]
	best := -1
	for u, p := range k.Points {
		if p[0] <= most+1e-9 && (best < 0 || math.Abs(p[0]-share) < math.Abs(k.Points[best][0]-share)-1e-12) {
			best = u
		}
	}
	if best < 0 {
		best = k.Default
	}
	f.move(h, best)
}

// knobs are the numbers of a space's knobs of a kind; it is an error when there
// is none.
func knobs(name string, space *mesh.Space, kind mesh.Kind) ([]int, error) {
	var list []int
	for h, k := range space.Knobs() {
		if k.Kind == kind {
			list = append(list, h)
		}
	}
	if list == nil {
		return nil, fmt.Errorf("autoscaler: %s sets knobs of kind %s; the space has none: %s", name, kind, space)
	}
	return list, nil
}

// or is x, or the default where x is zero.
func or[T comparable](x, def T) T {
	var zero T
	if x == zero {
		return def
	}
	return x
}

// positive is a setting that has a default at 0 and is none below.
func positive(x, def float64) float64 { return max(0, or(x, def)) }

// reset begins a run of a base.
func reset(base policy.Policy, seed uint64) {
	if base != nil {
		base.Reset(seed)
	}
}

// Metric is what replicas are set by.
type Metric int

const (
	// CPU is the number of a node's servers at work. For each replica it is the
	// utilisation: 1 is a server that is busy the whole time.
	CPU Metric = iota
	// Requests is the rate of the calls that come to a node, in requests/s.
	Requests
)

// String is "cpu" or "requests".
func (m Metric) String() string { return [...]string{"cpu", "requests"}[m] }

// of is the metric of all of node j in the step before; NaN where it is missing.
func (m Metric) of(space *mesh.Space, s mesh.State, j int) float64 {
	if s.Last == nil || s.InForce == nil {
		return math.NaN()
	}
	if m == CPU {
		return s.Last.Busy[j]
	}
	sum := 0.0
	for c, call := range space.Layout().Calls {
		for k, share := range space.RouteOf(s.InForce, c) {
			if call.Nodes[k] == j && share > 0 {
				sum += float64(s.Last.Carried[call.Service] * share)
			}
		}
	}
	return sum
}

// speed of a replica of node j under action a.
func speed(space *mesh.Space, a mesh.Action, j int) float64 {
	return space.Mesh().Speed(j) * space.Value(a, mesh.CPU, j, 1)
}
