package adapt

import (
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
)

// Estimate is how the mesh is thought to differ from the one that was learned.
type Estimate struct {
	Node    []float64 // factor of each node's service times; +Inf for one that is lost
	Work    []float64 // factor of each microservice's
	Late    []float64 // s by which each knob's values come into force later
	Rows    int       // steps that it is from
	unequal bool      // a factor is not 1
}

func newEstimate(space *mesh.Space) Estimate {
	l := space.Layout()
	e := Estimate{Node: make([]float64, l.Mesh.N()), Work: make([]float64, len(l.Microservices)), Late: make([]float64, len(space.Knobs()))}
	for j := range e.Node {
		e.Node[j] = 1
	}
	for u := range e.Work {
		e.Work[u] = 1
	}
	return e
}

// Same reports whether the mesh is thought to be as it was learned.
func (e Estimate) Same() bool {
	for _, v := range e.Late {
		if v != 0 {
			return false
		}
	}
	return !e.unequal
}

// late is Late, nil where nothing is.
func (e Estimate) late() []float64 {
	for _, v := range e.Late {
		if v != 0 {
			return e.Late
		}
	}
	return nil
}

// factors are those of service times, nodes x microservices; nil where all are 1.
func (e Estimate) factors() [][]float64 {
	if !e.unequal {
		return nil
	}
	out := make([][]float64, len(e.Node))
	for j, f := range e.Node {
		for _, g := range e.Work {
			out[j] = append(out[j], f*g)
		}
	}
	return out
}

// Capacity is the share of what the nodes of service i could serve that they still
// can.
func (e Estimate) Capacity(l *mesh.Layout, i int) float64 {
	was, is := 0.0, 0.0
	for _, at := range l.Endpoints {
		if c := l.Calls[at.Call]; c.Service == i {
			speed := l.Mesh.Speed(at.Node)
			was += speed
			is += speed / (e.Node[at.Node] * e.Work[c.Microservice])
		}
	}
	return is / was
}

// far reports whether a factor of e is another than in o, by more than what counts
// as the same, or a knob later by more than that of its time.
func (e Estimate) far(o Estimate, space *mesh.Space) bool {
	for k, f := range append(append([]float64(nil), e.Node...), e.Work...) {
		g := append(append([]float64(nil), o.Node...), o.Work...)[k]
		if f != g && !(math.Abs(math.Log(f/g)) <= math.Log(1+same)) {
			return true
		}
	}
	for h, v := range e.Late {
		if math.Abs(v-o.Late[h]) > same*(space.Knobs()[h].Up+v) {
			return true
		}
	}
	return false
}

// Say is the estimate for people.
func (e Estimate) Say(space *mesh.Space) string {
	l := space.Layout()
	var parts []string
	for j, f := range e.Node {
		switch name := l.Mesh.NodeNames()[j]; {
		case math.IsInf(f, 1):
			parts = append(parts, name+" is lost")
		case f != 1:
			parts = append(parts, fmt.Sprintf("%s takes %.2f times as long", name, f))
		}
	}
	for u, f := range e.Work {
		if f != 1 {
			parts = append(parts, fmt.Sprintf("%s is %.2f times the work", l.Microservices[u], f))
		}
	}
	for h, v := range e.Late {
		if v != 0 {
			parts = append(parts, fmt.Sprintf("%s comes %.0f s late", space.Knobs()[h].Name, v))
		}
	}
	if parts == nil {
		return "as it was learned"
	}
	return strings.Join(parts, "; ")
}

const (
	// worthAFactor is by how much the sum of squared standardised ratios has to fall
	// for a factor to be taken for other than 1, that is more than chance makes it
	// fall in 1,000 tries.
	worthAFactor = 12
	// same is how far from 1 a factor may be and count as 1.
	same = .15
	// gridStep is that of the factors that are tried first, as a factor.
	gridStep = 1.6
	gridEnds = 4 // steps either way
	// lostSteps are the steps in a row in which a node answered nothing after which
	// it counts as lost, and lostRequests what had been sent to it by then.
	lostSteps, lostRequests = 2, 6
	// misfitClip bounds a standardised ratio, so that no step decides alone.
	misfitClip = 3
)

// identify estimates the factors from rows of the changed mesh: the one that
// explains them best, and then a second where that explains more than chance. m is
// the model of the mesh as it was. A factor that changes nothing is 1. Nodes that are
// known to be lost are.
func (q *Monitor) identify(m control.Model, rows []Row, lost []bool) (Estimate, error) {
	e := newEstimate(q.space)
	e.Rows = len(rows)
	slower, ok := m.(model.Slower)
	if !ok || len(rows) == 0 {
		return e, nil
	}
	l := q.space.Layout()
	for j := range e.Node {
		if lost[j] || q.lost(rows, j) {
			e.Node[j], e.unequal = math.Inf(1), true
		}
	}
	score := func(e Estimate) (float64, error) {
		e.unequal = true
		now, err := slower.Slower(e.factors())
		if err != nil {
			return 0, errNotForeseen
		}
		return q.misfit(now, e.factors(), rows)
	}
	now, err := q.misfit(m, nil, rows)
	if e.unequal && err == nil {
		if now, err = score(e); err == errNotForeseen {
			return newEstimate(q.space), nil // what can be said, rollout has no use for
		}
	}
	if err != nil {
		return e, err
	}
	of := func(e *Estimate, k int) *float64 {
		if k < len(e.Node) {
			return &e.Node[k]
		}
		return &e.Work[k-len(e.Node)]
	}
	parameters := len(e.Node) + len(e.Work)
	if len(l.Microservices) == 1 && l.Mesh.N() == 1 {
		parameters = 1 // one and the same
	}
	for range 2 {
		best, top := e, now
		for k := range parameters {
			if *of(&e, k) != 1 {
				continue
			}
			at, v, err := line(func(f float64) (float64, error) {
				x := e.clone()
				*of(&x, k) = f
				return score(x)
			})
			if err == errNotForeseen {
				continue
			}
			if err != nil {
				return e, err
			}
			if v < top-1e-9 && math.Abs(math.Log(at)) > math.Log(1+same) {
				best, top = e.clone(), v
				*of(&best, k) = at
			}
		}
		if top > now-worthAFactor {
			break
		}
		e, now = best, top
		e.unequal = true
	}
	return e, nil
}

// found is e with node j as it was learned.
func (e Estimate) found(j int) Estimate {
	e = e.clone()
	e.Node[j], e.unequal = 1, false
	for _, f := range append(append([]float64(nil), e.Node...), e.Work...) {
		e.unequal = e.unequal || f != 1
	}
	return e
}

func (e Estimate) clone() Estimate {
	e.Node, e.Work, e.Late = append([]float64(nil), e.Node...), append([]float64(nil), e.Work...), append([]float64(nil), e.Late...)
	return e
}

// errNotForeseen says that a model cannot foresee a mesh with such factors.
var errNotForeseen = fmt.Errorf("adapt: a mesh that the model cannot foresee")

// line finds the factor at which f is least: on a grid, then between its neighbours.
func line(f func(float64) (float64, error)) (at, least float64, err error) {
	least = math.Inf(1)
	for k := -gridEnds; k <= gridEnds; k++ {
		x := math.Pow(gridStep, float64(k))
		v, err := f(x)
		if err != nil {
			return 0, 0, err
		}
		if v < least {
			at, least = x, v
		}
	}
	for step := math.Sqrt(gridStep); step > 1.02; step = math.Sqrt(step) {
		for _, x := range []float64{at / step, at * step} {
			v, err := f(x)
			if err != nil {
				return 0, 0, err
			}
			if v < least {
				at, least = x, v
			}
		}
	}
	return at, least, nil
}

// misfit is how badly a model explains rows: the sum of squared standardised log
// ratios, each clipped. Delays of an overload count as where that begins: how long
// a queue is by then depends on steps before. Those of a queue that grows or shrinks
// by as much do not count where the node's work is known.
func (q *Monitor) misfit(m control.Model, factor [][]float64, rows []Row) (float64, error) {
	sum, l := 0.0, q.space.Layout()
	for _, r := range rows {
		if _, err := q.compare(m, factor, r); err != nil {
			return 0, err
		}
		for k, measured := range q.measured {
			if k < len(l.Endpoints) && !r.Settled {
				continue
			}
			predicted := q.predicted[k]
			if k < len(l.Endpoints) {
				at := l.Endpoints[k]
				limit := q.overloaded[l.Calls[at.Call].Service]
				if q.work != nil && math.Abs(r.Longer[at.Node]) > limit && !math.IsNaN(q.measured[q.firstBusy()+at.Node]) {
					continue
				}
				measured, predicted = min(measured, limit), min(predicted, limit)
			}
			if z := q.standardise(k, measured, predicted); !math.IsNaN(z) {
				sum += min(z*z, misfitClip*misfitClip)
			}
		}
	}
	return sum, nil
}

// lost reports whether node j answers nothing of what is sent to it.
func (q *Monitor) lost(rows []Row, j int) bool {
	l := q.space.Layout()
	sent, steps := 0.0, 0
	for k := len(rows) - 1; k >= 0; k-- {
		r := rows[k]
		reached, failed := 0.0, false
		for e, at := range l.Endpoints {
			c := l.Calls[at.Call]
			if at.Node != j || !q.space.Reaches(r.Load, r.Action, e) {
				continue
			}
			if r.Measurement.Endpoint[e].Count > 0 {
				return sent >= lostRequests && steps >= lostSteps
			}
			x := r.Measurement
			if x.Failed[c.Service] > 0 {
				failed = true
				reached += (x.Failed[c.Service] + x.Service[c.Service].Count) * q.space.RouteOf(r.Action, at.Call)[e-c.First]
			}
		}
		if failed {
			sent += reached
			steps++
		}
	}
	return sent >= lostRequests && steps >= lostSteps
}
