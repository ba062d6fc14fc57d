package control

import (
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// Progress is the course of knobs that take their time and of those that move
// by increments: what was asked for, what is in force and what is on its way.
// Simulators and testbeds that emulate such knobs share it. A knob of one value
// that goes up is in force at that value Up seconds later, one that goes down
// Down seconds later; like the replicas of a Deployment, what is on its way up
// is given up first when less is asked for. It is for one goroutine.
type Progress struct {
	space   *mesh.Space
	now     mesh.Action
	asked   mesh.Action
	pending []mesh.Pending
	late    []float64 // of each knob, s; see Late
	seen    []mesh.Pending
}

// NewProgress returns knobs that are at the point of the space that is nearest
// to no control.
func NewProgress(s *mesh.Space) *Progress {
	p := &Progress{space: s}
	p.Reset()
	return p
}

// Reset puts every knob to the point nearest to no control, with nothing on its
// way.
func (p *Progress) Reset() {
	p.now = p.space.Action(p.now, p.space.Nearest(p.space.Default()))
	p.asked = append(p.asked[:0], p.now...)
	p.pending = p.pending[:0]
}

// Late has higher values of knobs come into force so many s later than the space
// says, one for each knob and nil for none: also those that are on their way, of which
// Left is 0 while they are late. Nobody who looks at what is on its way knows.
func (p *Progress) Late(seconds []float64) { p.late = slices.Clone(seconds) }

// left is in how many seconds something comes into force.
func (p *Progress) left(x mesh.Pending) float64 {
	k := &p.space.Knobs()[x.Knob]
	if p.late == nil || slices.Compare(k.Points[x.Point], k.Values(p.now)) < 0 {
		return x.Left
	}
	return x.Left + p.late[x.Knob]
}

// Set puts action a into force at once, with nothing on its way.
func (p *Progress) Set(a mesh.Action, pending []mesh.Pending) {
	p.now = append(p.now[:0], a...)
	p.pending = append(p.pending[:0], pending...)
	p.asked = p.space.Asked(p.asked, p.now, p.pending)
}

// Ask asks for action a. A knob that moves by increments goes as far towards it
// as one step allows. What takes no time is in force when Ask returns.
func (p *Progress) Ask(a mesh.Action) {
	a = p.space.Reach(p.asked, a)
	for h := range p.space.Knobs() {
		k := &p.space.Knobs()[h]
		if !k.Slow() {
			copy(k.Values(p.now), k.Values(a))
			copy(k.Values(p.asked), k.Values(a))
			continue
		}
		p.ask(h, k, k.Toward(k.Values(p.asked), k.Values(a)))
	}
	p.due()
}

func (p *Progress) ask(h int, k *mesh.KnobAt, to int) {
	point := k.Points[to]
	up, down := slices.Compare(point, k.Values(p.asked)) > 0, slices.Compare(point, k.Values(p.asked)) < 0
	copy(k.Values(p.asked), point)
	switch {
	case up:
		p.add(mesh.Pending{Knob: h, Point: to, Left: k.Up})
	case down:
		// What is on its way above the point goes there, or is given up.
		before := k.Nearest(k.Values(p.now))
		if slices.Compare(k.Points[before], point) > 0 {
			p.pending = slices.DeleteFunc(p.pending, func(x mesh.Pending) bool { return x.Knob == h })
			p.add(mesh.Pending{Knob: h, Point: to, Left: k.Down})
			return
		}
		kept := p.pending[:0]
		for _, x := range p.pending {
			if x.Knob == h {
				if slices.Compare(k.Points[x.Point], point) > 0 {
					x.Point = to
				}
				if x.Point == before {
					continue
				}
				before = x.Point
			}
			kept = append(kept, x)
		}
		p.pending = kept
	}
}

// add keeps the order of knobs, and of times within a knob.
func (p *Progress) add(x mesh.Pending) {
	at, _ := slices.BinarySearchFunc(p.pending, x, func(a, b mesh.Pending) int {
		if a.Knob != b.Knob {
			return a.Knob - b.Knob
		}
		return -1 // behind those that are there
	})
	p.pending = slices.Insert(p.pending, at, x)
}

// due puts into force what has no time left.
func (p *Progress) due() {
	const rounding = 1e-9
	p.pending = slices.DeleteFunc(p.pending, func(x mesh.Pending) bool {
		if p.left(x) > rounding {
			return false
		}
		k := &p.space.Knobs()[x.Knob]
		copy(k.Values(p.now), k.Points[x.Point])
		return true
	})
}

// Next is in how many seconds something comes into force, +Inf where nothing is
// on its way.
func (p *Progress) Next() float64 {
	next := math.Inf(1)
	for _, x := range p.pending {
		next = min(next, p.left(x))
	}
	return next
}

// Advance lets so many seconds pass.
func (p *Progress) Advance(seconds float64) {
	for n := range p.pending {
		p.pending[n].Left -= seconds
	}
	p.due()
}

// Step makes a step of so many seconds in which action a is asked for, and returns
// what an objective sees of the knobs in it. In force is what is in its middle, so
// that what comes or goes a moment after its beginning counts.
func (p *Progress) Step(a mesh.Action, seconds float64) objective.Step {
	s := objective.Step{Before: p.asked.Clone()}
	p.Ask(a)
	s.Asked = p.asked.Clone()
	p.Advance(seconds / 2)
	s.Action = p.now.Clone()
	p.Advance(seconds / 2)
	s.Cost = p.space.Paid(p.now, p.pending)
	return s
}

// InForce is the action in force and what is on its way to be, by knob and then
// by time. Both are valid until the next call of another method.
func (p *Progress) InForce() (mesh.Action, []mesh.Pending) {
	if p.late == nil {
		return p.now, p.pending
	}
	p.seen = append(p.seen[:0], p.pending...)
	for n := range p.seen {
		p.seen[n].Left = max(p.seen[n].Left, 0)
	}
	return p.now, p.seen
}
