package objective

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Evaluator is an objective bound to a mesh. It reuses its buffers: one
// goroutine at a time.
type Evaluator struct {
	objective Objective
	space     *mesh.Space
	service   []int // index in the mesh of each of the objective's services
	targets   []Target
	terms     []term
	seen      *sight
	shared    bool      // seen is another one's, which looks at the step
	paid, buf []float64 // per draw
}

// sight is what an evaluator sees of the draws of a step.
type sight struct {
	outcomes []Outcome // draws x services
	utility  []bool    // per service: whether its utility is looked at
}

// Bind checks o against the mesh of a space: its services exist and are named
// once, there is one valid target for each, and it has terms or a reward
// function.
func (o Objective) Bind(space *mesh.Space) (*Evaluator, error) {
	wrap := func(err error) error { return fmt.Errorf("objective %q: %w", o.Name, err) }
	if o.Reward == nil && len(o.Terms) == 0 {
		return nil, wrap(errNoReward)
	}
	m := space.Mesh()
	names := o.Services
	if names == nil {
		names = m.ServiceNames()
	}
	e := &Evaluator{objective: o, space: space}
	named := map[int]bool{}
	for _, name := range names {
		i, err := m.Service(name)
		if err != nil {
			return nil, wrap(err)
		}
		if named[i] {
			return nil, wrap(fmt.Errorf("service %q is named twice", name))
		}
		named[i] = true
		e.service = append(e.service, i)
	}
	if len(o.Targets) != len(names) {
		return nil, wrap(fmt.Errorf("%d targets for %d services", len(o.Targets), len(names)))
	}
	for k, t := range o.Targets {
		if err := t.Validate(); err != nil {
			return nil, wrap(fmt.Errorf("target of %s: %w", names[k], err))
		}
		e.targets = append(e.targets, t.defaults())
	}
	var err error
	if e.terms, err = bind(o.Terms, names, e.targets, space); err != nil {
		return nil, wrap(err)
	}
	e.seen = &sight{outcomes: make([]Outcome, len(names)), utility: make([]bool, len(names))}
	for k, name := range names {
		e.seen.utility[k] = o.Reward != nil || slices.ContainsFunc(o.Terms, func(t Term) bool {
			return slices.Contains(t.Product, Factor{Of: Utility, Service: name})
		})
	}
	return e, nil
}

// Objective returns what was bound.
func (e *Evaluator) Objective() Objective { return e.objective }

// Step is all of a control step that an objective may see.
type Step struct {
	Load   mesh.Load   // as offered
	Action mesh.Action // in force
	// Asked is the action asked for, which is in force at once but for knobs that
	// take their time, and Before that of the step before; nil in the first.
	Asked, Before mesh.Action
	// Cost is what was paid per s for what is in force or on its way.
	Cost        float64
	Measurement mesh.Measurement
}

// Steady is a step of a mesh whose knobs all are at action a and were before.
func Steady(space *mesh.Space, load mesh.Load, a mesh.Action, x mesh.Measurement) *Step {
	return &Step{Load: load, Action: a, Asked: a, Before: a, Cost: space.Cost(a), Measurement: x}
}

// Evaluators are objectives that see the same steps.
type Evaluators []*Evaluator

// BindAll binds several objectives, in their order; those that look at the same of a
// step look once.
func BindAll(space *mesh.Space, objectives ...Objective) (Evaluators, error) {
	var list Evaluators
	for _, o := range objectives {
		e, err := o.Bind(space)
		if err != nil {
			return nil, err
		}
		for _, before := range list {
			if e.sees(before) {
				for k, looked := range e.seen.utility {
					before.seen.utility[k] = before.seen.utility[k] || looked
				}
				e.seen, e.shared = before.seen, true
				break
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// sees says whether the outcomes of both are the same, and not in the hands of a
// function that may change them.
func (e *Evaluator) sees(o *Evaluator) bool {
	return !o.shared && e.objective.Reward == nil && o.objective.Reward == nil && slices.Equal(e.service, o.service) &&
		slices.Equal(e.targets, o.targets) && e.objective.Carried == o.objective.Carried && e.objective.Delay == o.objective.Delay
}

// Sample is equally likely draws of a step, side by side: of each service of the
// mesh the response times, s, and what is carried, requests/s.
type Sample struct{ Delay, Carried [][]float64 }

// Sampled says whether all that the objectives see of a draw is in a Sample.
func (es Evaluators) Sampled() bool {
	return !slices.ContainsFunc(es, func(e *Evaluator) bool { return e.objective.Delay != RequestWeighted || e.objective.Tail() })
}

// Means writes the mean value over the draws of a step, which are measured in place
// of its Measurement, by each of the objectives.
func (es Evaluators) Means(dst []float64, s *Step, draws Sample) {
	for n, e := range es {
		if !e.shared {
			e.lookAt(s, draws)
		}
		dst[n] = 0
		paid := e.pay(s, len(draws.Delay[0]))
		for _, v := range paid {
			dst[n] += v / float64(len(paid))
		}
	}
}

// Rewards writes the value of a step by each of the objectives; see
// [Evaluator.Reward].
func (es Evaluators) Rewards(dst []float64, s *Step) {
	for n, e := range es {
		if !e.shared {
			e.look(s)
		}
		dst[n] = e.pay(s, 1)[0]
	}
}

// Reward is the value of a step. It is NaN when a carried load that counts is
// missing.
func (e *Evaluator) Reward(s *Step) float64 {
	e.look(s)
	return e.pay(s, 1)[0]
}

// look fills in the outcomes of what was measured.
func (e *Evaluator) look(s *Step) {
	x := &s.Measurement
	for k, i := range e.service {
		o, d := &e.seen.outcomes[k], &x.Service[i]
		o.Offered, o.Carried, o.Delay = s.Load[i], e.carried(s, i), e.delay(x, i)
		o.Utility = e.targets[k].utility(o.Delay)
		o.P50, o.P95, o.P99 = d.P50, d.P95, d.P99
		o.Failed = failed(x, i)
	}
}

// lookAt fills in the outcomes of draws.
func (e *Evaluator) lookAt(s *Step, draws Sample) {
	n := len(e.service)
	rows := len(draws.Delay[0])
	e.seen.outcomes = slices.Grow(e.seen.outcomes[:0], rows*n)[:rows*n]
	for k, i := range e.service {
		delay, carried, t := draws.Delay[i], draws.Carried[i][:rows], &e.targets[k]
		for d, v := range delay {
			o := &e.seen.outcomes[d*n+k]
			o.Offered, o.Carried, o.Delay = s.Load[i], carried[d], v
			if e.seen.utility[k] {
				o.Utility = t.utility(v)
			}
		}
		if e.objective.Carried == Nominal {
			for d := range rows {
				e.seen.outcomes[d*n+k].Carried = e.carried(s, i)
			}
		}
	}
}

// pay is the value of each of so many draws of a step, whose outcomes are known.
func (e *Evaluator) pay(s *Step, draws int) []float64 {
	e.paid = slices.Grow(e.paid[:0], draws)[:draws]
	if e.objective.Reward != nil {
		n := len(e.service)
		for d := range e.paid {
			e.paid[d] = e.objective.Reward(e.seen.outcomes[d*n:][:n:n], *s)
		}
		return e.paid
	}
	e.buf = slices.Grow(e.buf[:0], draws)[:draws]
	clear(e.paid)
	for k := range e.terms {
		t := &e.terms[k]
		for d := range e.buf {
			e.buf[d] = t.weight
		}
		for _, multiply := range t.factors {
			multiply(e, s, e.buf)
		}
		for d, v := range e.buf {
			e.paid[d] += v
		}
	}
	return e.paid
}

// Missed reports whether a service of the objective missed its goal: the
// quantile that the objective's terms look at, the mean where they look at none.
func (e *Evaluator) Missed(s *Step) bool {
	q := Mean
	for _, t := range e.objective.Terms {
		for _, f := range t.Product {
			if f.Quantile != Mean {
				q = f.Quantile
			}
		}
	}
	for k, i := range e.service {
		d := e.delay(&s.Measurement, i)
		if x := s.Measurement.Service[i]; q != Mean {
			d = q.of(x.P50, x.P95, x.P99)
		}
		if !(d <= e.targets[k].Goal) {
			return true
		}
	}
	return false
}

// failed is the share of the requests that were let through which had no good
// answer; 0 where it is not known.
func failed(x *mesh.Measurement, i int) float64 {
	if n := x.Failed[i] + x.Service[i].Count; n > 0 {
		return x.Failed[i] / n
	}
	return 0
}

func (e *Evaluator) carried(s *Step, i int) float64 {
	if e.objective.Carried == Nominal {
		return s.Load[i] * (1 - e.space.BlockOf(s.Action, i))
	}
	return s.Measurement.Carried[i]
}

// delay is d_i in s; NaN where nothing was answered.
func (e *Evaluator) delay(x *mesh.Measurement, i int) float64 {
	if e.objective.Delay == RequestWeighted {
		return x.Service[i].Mean
	}
	l := e.space.Layout()
	sum := 0.0
	for _, stage := range l.Stages[i] {
		d := math.NaN()
		for _, c := range stage {
			first, end := l.Of(c)
			for _, node := range x.Endpoint[first:end] {
				if math.IsNaN(d) || node.Mean > d {
					d = node.Mean
				}
			}
		}
		sum += d
	}
	return sum
}

// Target returns the target of the mesh's service i, and false when the
// objective does not look at it.
func (e *Evaluator) Target(i int) (Target, bool) {
	for k := range e.service {
		if e.service[k] == i {
			return e.targets[k], true
		}
	}
	return Target{}, false
}
