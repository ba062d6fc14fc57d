package controller

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Limit bounds the changes that a policy makes. The fallback is not bounded: it is
// to be in force at once.
type Limit struct {
	// Move is how far a value of a knob may go in one step, as a share of what lies
	// between its lowest and highest; 0 and 1 for as far as it likes.
	Move float64
	// Every is for how many steps a knob is left as it is after a change; 0 for
	// none.
	Every int
}

func (l Limit) validate() error {
	if !(l.Move >= 0 && l.Move <= 1) || l.Every < 0 {
		return fmt.Errorf("limit: moves of at most %v, changes every %d steps; accepted: a share from 0 to 1, 0 steps or more", l.Move, l.Every)
	}
	return nil
}

// limiter applies a Limit.
type limiter struct {
	Limit
	space *mesh.Space
	until []int // by knob, the step from which on it may change again
}

func newLimiter(s *mesh.Space, l Limit) *limiter {
	return &limiter{l, s, make([]int, len(s.Knobs()))}
}

// toward is how far one may go at a step from what was asked for before to what is
// wanted now, and whether that is less than all the way.
func (l *limiter) toward(step int, from, want mesh.Action) (a mesh.Action, limited bool) {
	a = want.Clone()
	if from == nil {
		return a, false
	}
	for h := range l.space.Knobs() {
		k := &l.space.Knobs()[h]
		have, to := k.Values(from), k.Values(a)
		if slices.Equal(have, to) {
			continue
		}
		if step < l.until[h] {
			copy(to, have)
			limited = true
			continue
		}
		if l.Move > 0 && l.Move < 1 && l.far(k, have, to) {
			limited = true
			copy(to, l.nearest(k, have, to))
		}
	}
	if !l.space.Within(a) {
		return l.space.Reach(from, a), true
	}
	return a, limited
}

// changed notes the knobs that were changed at a step.
func (l *limiter) changed(step int, from, to mesh.Action) {
	if from == nil || to == nil {
		return
	}
	for h := range l.space.Knobs() {
		if k := &l.space.Knobs()[h]; !slices.Equal(k.Values(from), k.Values(to)) {
			l.until[h] = step + 1 + l.Every
		}
	}
}

// far reports whether a move is too long.
func (l *limiter) far(k *mesh.KnobAt, from, to []float64) bool {
	const rounding = 1e-9
	for j := range from {
		low, high := math.Inf(1), math.Inf(-1)
		for _, p := range k.Points {
			low, high = min(low, p[j]), max(high, p[j])
		}
		if math.Abs(to[j]-from[j]) > l.Move*(high-low)+rounding {
			return true
		}
	}
	return false
}

// nearest is the point closest to where one wants to go of those within reach;
// where one is, where there is none.
func (l *limiter) nearest(k *mesh.KnobAt, from, to []float64) []float64 {
	best, least := from, mesh.Distance(from, to)
	for _, p := range k.Points {
		if d := mesh.Distance(p, to); d < least && !l.far(k, from, p) {
			best, least = p, d
		}
	}
	return best
}
