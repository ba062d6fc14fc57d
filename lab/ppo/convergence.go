package ppo

import (
	"fmt"
	"math"
	"slices"
)

// Evaluation is one point of a learning curve.
type Evaluation struct {
	Steps int     `json:"steps"` // environment steps taken before it
	Score float64 `json:"score"` // what Config.Evaluate returned
}

// Convergence says when a learning curve has converged: when the last Window
// scores all reach Target, or when their mean differs by at most Tolerance
// from the best of the Window scores before them. The second rule asks for
// MinSteps, since a curve is flat as well before learning sets in.
type Convergence struct {
	Window    int     // number of scores. Default: 3
	Tolerance float64 // of the plateau, in units of the score. Default: 0.005; negative: no such rule
	MinSteps  int     // steps before which no plateau counts. Default: 10,000
	Target    float64 // Default: 0, no such rule
}

func (c Convergence) withDefaults() Convergence {
	if c.Window == 0 {
		c.Window = 3
	}
	if c.Tolerance == 0 {
		c.Tolerance = 0.005
	}
	if c.MinSteps == 0 {
		c.MinSteps = 10_000
	}
	return c
}

func (c Convergence) check() error {
	if c.Window < 0 || c.MinSteps < 0 || math.IsNaN(c.Tolerance) || math.IsNaN(c.Target) {
		return fmt.Errorf("ppo: convergence rule %+v, want a window and steps >= 0 and no NaN", c)
	}
	return nil
}

// Reached reports whether the curve, in order of steps, has converged at its
// end.
func (c Convergence) Reached(curve []Evaluation) bool {
	c = c.withDefaults()
	n := len(curve)
	if n < c.Window {
		return false
	}
	last := curve[n-c.Window:]
	below := func(e Evaluation) bool { return !(e.Score >= c.Target) }
	if c.Target != 0 && !slices.ContainsFunc(last, below) {
		return true
	}
	if c.Tolerance < 0 || n < 2*c.Window || curve[n-1].Steps < c.MinSteps {
		return false
	}
	best, mean := math.Inf(-1), 0.0
	for _, e := range curve[n-2*c.Window : n-c.Window] {
		best = max(best, e.Score)
	}
	for _, e := range last {
		mean += e.Score / float64(c.Window)
	}
	return math.Abs(mean-best) <= c.Tolerance
}
