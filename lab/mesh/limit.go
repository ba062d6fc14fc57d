package mesh

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Limit bounds what several knobs of one kind are set to together: the replicas of
// all nodes, or the cores of the nodes that are on one machine. What is counted is
// what is asked for, in force or not.
type Limit struct {
	Kind Kind `json:"kind" yaml:"kind"`
	// Of names the nodes or services whose knobs are counted. Default all that have
	// such a knob.
	Of []string `json:"of,omitempty" yaml:"of"`
	// Most is what their values sum to at most.
	Most float64 `json:"most" yaml:"most"`
}

// limitAt is a limit of a space.
type limitAt struct {
	Limit
	knobs []int
	// value of each point of each of the knobs, and the least of each knob.
	value [][]float64
	least []float64
}

// limitTolerance allows for decimal fractions that do not sum exactly.
const limitTolerance = 1e-9

// Limited is s with limits. Actions keep their numbers and choices; those over a
// limit are not allowed, and never taken: see Fits. Its error lists all limits that
// make no sense.
func (s *Space) Limited(limits ...Limit) (*Space, error) {
	if len(limits) == 0 {
		return s, nil
	}
	out := *s
	out.limits = slices.Clone(s.limits)
	var all []error
	for n, l := range limits {
		at, err := s.bind(l)
		if err != nil {
			all = append(all, fmt.Errorf("mesh: limit %d: %w", n+1, err))
			continue
		}
		out.limits = append(out.limits, at)
	}
	return &out, joined(all)
}

// bind finds the knobs of a limit.
func (s *Space) bind(l Limit) (limitAt, error) {
	at := limitAt{Limit: l}
	info, err := KindOf(l.Kind)
	if err != nil {
		return at, err
	}
	if info.Scope == PerCall {
		return at, fmt.Errorf("kind %s; accepted: one of nodes or services", l.Kind)
	}
	var names []string
	lowest, highest := 0.0, 0.0
	for h := range s.knobs {
		k := &s.knobs[h]
		name := ""
		if k.Kind == l.Kind {
			name = nameOf(s.layout, info.Scope, k.Of)
		}
		if name == "" {
			continue
		}
		if names = append(names, name); len(l.Of) > 0 && !slices.Contains(l.Of, name) {
			continue
		}
		values := make([]float64, len(k.Points))
		for u, p := range k.Points {
			values[u] = p[0]
		}
		at.knobs, at.value, at.least = append(at.knobs, h), append(at.value, values), append(at.least, slices.Min(values))
		lowest, highest = lowest+at.least[len(at.least)-1], highest+slices.Max(values)
	}
	for _, name := range l.Of {
		if !slices.Contains(names, name) {
			return at, fmt.Errorf("%s %q has no knob of kind %s; accepted: %s", info.Scope, name, l.Kind, strings.Join(names, ", "))
		}
	}
	switch {
	case len(at.knobs) < 2:
		return at, fmt.Errorf("it counts %d knobs of kind %s; accepted: two or more, or a lower max of the knob", len(at.knobs), l.Kind)
	case !(l.Most >= lowest-limitTolerance) || math.IsInf(l.Most, 1):
		return at, fmt.Errorf("most %v; accepted: at least %v, what the knobs sum to at their lowest points", l.Most, lowest)
	case l.Most >= highest-limitTolerance:
		return at, fmt.Errorf("most %v forbids nothing; accepted: below %v, what the knobs sum to at their highest points", l.Most, highest)
	}
	return at, nil
}

// name is that of LimitNames.
func (l *limitAt) name(s *Space) string {
	var names []string
	for _, h := range l.knobs {
		names = append(names, s.knobs[h].Name)
	}
	return fmt.Sprintf("%s at most %g", strings.Join(names, " + "), l.Most)
}

// Limits are the bounds on what knobs are set to together.
func (s *Space) Limits() []Limit {
	var all []Limit
	for _, l := range s.limits {
		all = append(all, l.Limit)
	}
	return all
}

// LimitNames say what each limit counts: "r1 + r2 at most 4".
func (s *Space) LimitNames() []string {
	var all []string
	for i := range s.limits {
		all = append(all, s.limits[i].name(s))
	}
	return all
}

// LimitsMix reports whether a limit counts knobs that take their time and others
// that do not.
func (s *Space) LimitsMix() bool {
	return slices.ContainsFunc(s.limits, func(l limitAt) bool {
		return slices.ContainsFunc(l.knobs, func(h int) bool { return s.knobs[h].Slow() != s.knobs[l.knobs[0]].Slow() })
	})
}

// Fits reports whether a choice is within the limits.
func (s *Space) Fits(choice []int) bool {
	for i := range s.limits {
		l := &s.limits[i]
		sum := 0.0
		for n, h := range l.knobs {
			sum += l.value[n][choice[h]]
		}
		if sum > l.Most+limitTolerance {
			return false
		}
	}
	return true
}

// FitsAt reports whether action k of the enumeration is within the limits.
func (s *Space) FitsAt(k int) bool {
	if s.limits == nil {
		return true
	}
	var buf [16]int
	if len(s.choices) > len(buf) {
		return s.Fits(s.Choice(nil, k))
	}
	return s.Fits(s.Choice(buf[:len(s.choices)], k))
}

// Numbers are the actions of the enumeration that are within the limits.
func (s *Space) Numbers() []int {
	var list []int
	for k := range s.size {
		if s.FitsAt(k) {
			list = append(list, k)
		}
	}
	return list
}

// Fit changes a choice that is over a limit until it is within: of the knobs that
// are counted the one with the highest value, of equal ones the last, goes down by
// a point, again and again. It returns the choice.
func (s *Space) Fit(choice []int) []int {
	for i := 0; i < len(s.limits); i++ {
		for l := &s.limits[i]; ; {
			sum, top := 0.0, -1
			for n, h := range l.knobs {
				v := l.value[n][choice[h]]
				sum += v
				if v > l.least[n] && (top < 0 || v >= l.value[top][choice[l.knobs[top]]]) {
					top = n
				}
			}
			if sum <= l.Most+limitTolerance || top < 0 {
				break
			}
			choice[l.knobs[top]] = below(l.value[top], choice[l.knobs[top]])
		}
	}
	return choice
}

// Clamp changes an action that is over a limit until it is within: the knobs that
// limits count go to points of the space as Fit has them, all others stay. It
// returns the action.
func (s *Space) Clamp(a Action) Action {
	if s.Within(a) {
		return a
	}
	choice := s.Nearest(a)
	for i := range s.limits {
		for _, h := range s.limits[i].knobs {
			copy(s.knobs[h].Values(a), s.knobs[h].Points[choice[h]])
		}
	}
	return a
}

// below is the point of the next lower value.
func below(value []float64, u int) int {
	best := -1
	for v, x := range value {
		if x < value[u] && (best < 0 || x > value[best]) {
			best = v
		}
	}
	return best
}

// Draw repeats draw until what it draws is within the limits; where that is rare,
// it is made to fit.
func (s *Space) Draw(draw func() []int) []int {
	choice := draw()
	for n := 0; !s.Fits(choice); n++ {
		if n == 1000 {
			return s.Fit(choice)
		}
		choice = draw()
	}
	return choice
}

// maxCounted bounds the spaces whose choices within the limits are counted.
const maxCounted = 1 << 20

// Reach is what to becomes of an action that is asked for after another: where
// increments are bounded by limits each knob goes as far as it may, and where that
// is over a limit only those go that go down.
func (s *Space) Reach(from, to Action) Action {
	if s.limits == nil || from == nil {
		return to
	}
	a := to.Clone()
	for h := range s.knobs {
		if k := &s.knobs[h]; k.Step > 0 {
			copy(k.Values(a), k.Points[k.Toward(k.Values(from), k.Values(to))])
		}
	}
	if s.Within(a) {
		return a
	}
	for i := range s.limits {
		for _, h := range s.limits[i].knobs {
			first := s.knobs[h].First
			a[first] = min(a[first], from[first])
		}
	}
	return s.Clamp(a) // which changes it where from was over a limit
}

// Within reports whether the values of an action are within the limits.
func (s *Space) Within(a Action) bool { return s.limits == nil || s.checkLimits(a) == nil }

// checkLimits reports the first limit that values are over.
func (s *Space) checkLimits(a Action) error {
	for i := range s.limits {
		l := &s.limits[i]
		sum := 0.0
		for _, h := range l.knobs {
			sum += a[s.knobs[h].First]
		}
		if sum > l.Most+limitTolerance {
			return fmt.Errorf("mesh: action: %s is over the limit of %s", s.Format(a), l.name(s))
		}
	}
	return nil
}
