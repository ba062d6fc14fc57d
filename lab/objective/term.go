package objective

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Term is a weight times a product of factors.
type Term struct {
	Weight  float64  `json:"weight,omitempty"` // default 1
	Product []Factor `json:"product"`
}

// Quantity is what a factor is of.
type Quantity string

const (
	Offered  Quantity = "offered"  // l_i, requests/s
	Carried  Quantity = "carried"  // l_i^c, requests/s
	Turned   Quantity = "blocked"  // l_i - l_i^c, requests/s
	Failures Quantity = "failed"   // share of the carried requests without a good answer
	Delay    Quantity = "delay"    // d_i in s; 0 where nothing was answered
	Late     Quantity = "late"     // how far d_i is above the goal, s; 0 below it
	Utility  Quantity = "utility"  // r_i(d_i)
	Met      Quantity = "met"      // 1 where d_i is at most the goal, else 0; 0 where nothing was answered
	Missed   Quantity = "missed"   // 1 - met
	Over     Quantity = "over"     // share of the answered requests above the goal, by the percentiles; 1 where nothing was answered
	Grace    Quantity = "grace"    // exp(-bound late), late in s
	MinLoad  Quantity = "min-load" // r3 of the carried load: 1 from the bound on, falling steeply below it
	AtLeast  Quantity = "at-least" // 1 where the carried load is at least the bound, else 0
	// Of the step, not of a service.
	Cost    Quantity = "cost"    // of what is in force or on its way, per s
	Changed Quantity = "changed" // number of knobs that are asked to be otherwise than in the step before
	Setting Quantity = "setting" // value of a column of the action in force, for instance "setting p12"
)

// quantities are those accepted, and what follows them in text.
var quantities = []Quantity{Offered, Carried, Turned, Failures, Delay, Late, Utility, Met, Missed, Over, Grace, MinLoad, AtLeast, Cost, Changed, Setting}

func (q Quantity) bounded() bool { return q == MinLoad || q == AtLeast || q == Grace }

// timed quantities are of a response time: of its mean, or of a quantile. Late,
// Met, Missed and Grace are also there of all services together: of the latest.
func (q Quantity) timed() bool {
	return q == Delay || q == Utility || q.goal()
}

func (q Quantity) goal() bool { return q == Late || q == Met || q == Missed || q == Grace }

func (q Quantity) ofStep() bool { return q == Cost || q == Changed }

// Quantile is which response time of a step counts.
type Quantile string

const (
	Mean Quantile = "" // of the mean, by the objective's DelayKind
	P50  Quantile = "p50"
	P95  Quantile = "p95"
	P99  Quantile = "p99"
)

func (q Quantile) of(p50, p95, p99 float64) float64 {
	switch q {
	case P50:
		return p50
	case P95:
		return p95
	}
	return p99
}

func (q Quantile) valid() bool { return q == Mean || q == P50 || q == P95 || q == P99 }

// Factor is a quantity of one service, or of the step. As text it is "carried
// shop", "met p95 shop" for a quantile, "min-load shop 5" for one with a bound,
// "met" for all services, "cost", or "setting p12".
type Factor struct {
	Of       Quantity
	Quantile Quantile
	Service  string // "" for all services; for Setting the column
	Bound    float64
}

// MarshalText writes "carried shop".
func (f Factor) MarshalText() ([]byte, error) {
	words := []string{string(f.Of)}
	if f.Quantile != Mean {
		words = append(words, string(f.Quantile))
	}
	if f.Service != "" {
		words = append(words, f.Service)
	}
	if f.Of.bounded() {
		words = append(words, strconv.FormatFloat(f.Bound, 'g', -1, 64))
	}
	return []byte(strings.Join(words, " ")), nil
}

// UnmarshalText reads what MarshalText writes.
func (f *Factor) UnmarshalText(b []byte) error {
	words := strings.Fields(string(b))
	if len(words) == 0 {
		return fmt.Errorf("factor %q; accepted: a quantity and a service, such as %q", b, "carried shop")
	}
	*f = Factor{Of: Quantity(words[0])}
	words = words[1:]
	if !slices.Contains(quantities, f.Of) {
		return fmt.Errorf("factor %q: unknown quantity %q; accepted: %v", b, f.Of, quantities)
	}
	if f.Of.bounded() {
		v := math.NaN()
		if len(words) > 0 {
			var err error
			if v, err = strconv.ParseFloat(words[len(words)-1], 64); err != nil {
				v = math.NaN()
			}
		}
		if !(v >= 0) || math.IsInf(v, 1) || len(words) < 2 && f.Of != Grace {
			return fmt.Errorf("factor %q: it ends with a bound, a finite number >= 0, such as %q", b, string(f.Of)+" shop 5")
		}
		f.Bound, words = v, words[:len(words)-1]
	}
	if f.Of.timed() && len(words) > 0 && Quantile(words[0]).valid() {
		f.Quantile, words = Quantile(words[0]), words[1:]
	}
	f.Service = strings.Join(words, " ")
	switch {
	case f.Of.ofStep() && f.Service != "":
		return fmt.Errorf("factor %q: %s is of the whole step; accepted: %q", b, f.Of, f.Of)
	case f.Service == "" && f.Of == Setting:
		return fmt.Errorf("factor %q; accepted: a column of the action, such as %q", b, "setting p11")
	case f.Service == "" && !f.Of.ofStep() && !f.Of.goal():
		return fmt.Errorf("factor %q; accepted: a quantity and a service, such as %q", b, "carried shop")
	}
	return nil
}

// String is the term for people.
func (t Term) String() string {
	var parts []string
	if t.Weight != 0 && t.Weight != 1 {
		parts = append(parts, strconv.FormatFloat(t.Weight, 'g', -1, 64))
	}
	for _, f := range t.Product {
		var of []string
		if f.Service != "" {
			of = append(of, f.Service)
		}
		if f.Quantile != Mean {
			of = append(of, string(f.Quantile))
		}
		if f.Of.bounded() {
			of = append(of, strconv.FormatFloat(f.Bound, 'g', -1, 64))
		}
		text := string(f.Of)
		if of != nil {
			text += "(" + strings.Join(of, ", ") + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// factor is one whose service is an index in the outcomes.
type factor struct {
	of       Quantity
	quantile Quantile
	service  int // -1 for all; for Setting the value of the action
	bound    float64
}

// multiplier multiplies a value for each draw of a step whose outcomes are known.
type multiplier func(e *Evaluator, s *Step, values []float64)

// times returns how the factor multiplies.
func (f factor) times() multiplier {
	k := f.service
	ofStep := func(read func(e *Evaluator, s *Step) float64) multiplier {
		return func(e *Evaluator, s *Step, values []float64) {
			v := read(e, s)
			for d := range values {
				values[d] *= v
			}
		}
	}
	// of reads the outcomes of all services in a draw.
	of := func(read func(e *Evaluator, all []Outcome) float64) multiplier {
		return func(e *Evaluator, _ *Step, values []float64) {
			n := len(e.service)
			for d := range values {
				values[d] *= read(e, e.seen.outcomes[d*n:][:n])
			}
		}
	}
	flag := func(holds func(e *Evaluator, all []Outcome) bool) multiplier {
		return of(func(e *Evaluator, all []Outcome) float64 {
			if holds(e, all) {
				return 1
			}
			return 0
		})
	}
	switch f.of {
	case Cost:
		return ofStep(func(_ *Evaluator, s *Step) float64 { return s.Cost })
	case Changed:
		return ofStep(func(e *Evaluator, s *Step) float64 { return changed(e.space, s) })
	case Setting:
		return ofStep(func(_ *Evaluator, s *Step) float64 { return s.Action[k] })
	case Offered:
		return ofStep(func(e *Evaluator, s *Step) float64 { return s.Load[e.service[k]] })
	case Carried: // this and Utility are what most objectives are made of
		return func(e *Evaluator, _ *Step, values []float64) {
			at, n := k, len(e.service)
			for d := range values {
				values[d] *= e.seen.outcomes[at].Carried
				at += n
			}
		}
	case Utility:
		if f.quantile != Mean {
			return of(func(e *Evaluator, all []Outcome) float64 { return e.targets[k].utility(f.delay(&all[k])) })
		}
		return func(e *Evaluator, _ *Step, values []float64) {
			at, n := k, len(e.service)
			for d := range values {
				values[d] *= e.seen.outcomes[at].Utility
				at += n
			}
		}
	case Late:
		return of(func(e *Evaluator, all []Outcome) float64 {
			if late := f.late(e, all); late > 0 {
				return late
			}
			return 0 // nor is what is missing, which is NaN
		})
	case Grace:
		return of(func(e *Evaluator, all []Outcome) float64 {
			if late := f.late(e, all); late > 0 {
				return math.Exp(-f.bound * late)
			}
			return 1
		})
	case Met:
		return flag(func(e *Evaluator, all []Outcome) bool { return f.late(e, all) <= 0 })
	case Missed:
		return flag(func(e *Evaluator, all []Outcome) bool { return !(f.late(e, all) <= 0) })
	case Turned:
		return of(func(_ *Evaluator, all []Outcome) float64 { return all[k].Offered - all[k].Carried })
	case Over:
		return of(func(e *Evaluator, all []Outcome) float64 { return all[k].over(e.targets[k].Goal) })
	case Failures:
		return of(func(_ *Evaluator, all []Outcome) float64 { return all[k].Failed })
	case Delay:
		return of(func(_ *Evaluator, all []Outcome) float64 {
			if d := f.delay(&all[k]); !math.IsNaN(d) {
				return d
			}
			return 0
		})
	case MinLoad:
		return of(func(_ *Evaluator, all []Outcome) float64 { return MinLoadUtility(all[k].Carried, f.bound) })
	default: // AtLeast
		return flag(func(_ *Evaluator, all []Outcome) bool { return all[k].Carried >= f.bound })
	}
}

func (f factor) delay(x *Outcome) float64 {
	if f.quantile == Mean {
		return x.Delay
	}
	return f.quantile.of(x.P50, x.P95, x.P99)
}

// over is about the share of requests that took longer than goal s: the logarithm
// of the share that took longer than d is linear in d between 0, the percentiles
// that are known, and beyond the last two of them.
func (x *Outcome) over(goal float64) float64 {
	d, log := 0.0, 0.0
	slope := math.NaN()
	for _, p := range []struct{ d, share float64 }{{x.P50, .5}, {x.P95, .05}, {x.P99, .01}} {
		if !(p.d > d) { // missing, or no later than the one before
			if p.d == d {
				log = math.Log(p.share)
			}
			continue
		}
		slope = (math.Log(p.share) - log) / (p.d - d)
		if goal <= p.d {
			break
		}
		d, log = p.d, math.Log(p.share)
	}
	if math.IsNaN(slope) {
		return 1
	}
	return math.Exp(log + float64(slope*(goal-d)))
}

// late is how far a service is above its goal in s, negative below it; of all
// services the latest. NaN where nothing was answered.
func (f factor) late(e *Evaluator, all []Outcome) float64 {
	if f.service >= 0 {
		return f.delay(&all[f.service]) - e.targets[f.service].Goal
	}
	worst := math.Inf(-1)
	for k := range all {
		late := f.delay(&all[k]) - e.targets[k].Goal
		if math.IsNaN(late) {
			return late
		}
		worst = max(worst, late)
	}
	return worst
}

// changed is the number of knobs that were asked to be otherwise than in the step
// before.
func changed(space *mesh.Space, s *Step) float64 {
	if s.Before == nil || s.Asked == nil {
		return 0
	}
	n := 0.0
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; !slices.Equal(k.Values(s.Asked), k.Values(s.Before)) {
			n++
		}
	}
	return n
}

type term struct {
	weight  float64
	factors []multiplier
}

// bind turns terms into numbers.
func bind(terms []Term, services []string, targets []Target, space *mesh.Space) ([]term, error) {
	var out []term
	for n, t := range terms {
		b := term{weight: t.Weight}
		if b.weight == 0 {
			b.weight = 1
		}
		if math.IsNaN(b.weight) || math.IsInf(b.weight, 0) {
			return nil, fmt.Errorf("term %d has weight %v; accepted: a finite number", n+1, t.Weight)
		}
		if len(t.Product) == 0 {
			return nil, fmt.Errorf("term %d has no factor", n+1)
		}
		for _, f := range t.Product {
			at := -1
			switch {
			case !slices.Contains(quantities, f.Of):
				return nil, fmt.Errorf("term %d: unknown quantity %q; accepted: %v", n+1, f.Of, quantities)
			case f.Of == Setting:
				if at = slices.Index(space.Columns(), f.Service); at < 0 {
					return nil, fmt.Errorf("term %d: unknown column %q of the action; there are %s", n+1, f.Service, strings.Join(space.Columns(), ", "))
				}
			case f.Of.ofStep() || f.Service == "" && f.Of.goal():
			default:
				if at = slices.Index(services, f.Service); at < 0 {
					return nil, fmt.Errorf("term %d: unknown service %q; the objective sees %s", n+1, f.Service, strings.Join(services, ", "))
				}
			}
			if !f.Quantile.valid() || f.Quantile != Mean && !f.Of.timed() {
				return nil, fmt.Errorf("term %d: %q of %s; accepted: p50, p95, p99 of a response time", n+1, f.Quantile, f.Of)
			}
			if !(f.Bound >= 0) || math.IsInf(f.Bound, 1) {
				return nil, fmt.Errorf("term %d: bound %v of %s; accepted: a finite number >= 0", n+1, f.Bound, f.Of)
			}
			b.factors = append(b.factors, factor{f.Of, f.Quantile, at, f.Bound}.times())
		}
		out = append(out, b)
	}
	return out, nil
}
