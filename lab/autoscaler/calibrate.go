package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/policy"
)

// Candidate is what a calibration found about one policy.
type Candidate struct {
	Name  string  `json:"name"`
	Score float64 `json:"score"` // the higher the better
}

// Calibration is the outcome of Calibrate.
type Calibration struct {
	Best       int         `json:"best"` // of the candidates
	Candidates []Candidate `json:"candidates"`
}

// Calibrate scores all candidates, in their order, and says which one is best,
// the first of equal ones. score makes runs under training loads, the same for
// each candidate, and returns for instance their mean reward; loads that are to
// judge the best one must be others. It stops at the first error, and it is an
// error where there is no candidate or a score is no number.
func Calibrate(ctx context.Context, candidates []policy.Policy, score func(context.Context, policy.Policy) (float64, error)) (Calibration, error) {
	var c Calibration
	if len(candidates) == 0 {
		return c, errors.New("autoscaler: calibration without a candidate")
	}
	for k, p := range candidates {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		v, err := score(ctx, p)
		if err != nil {
			return c, fmt.Errorf("autoscaler: calibrate %s: %w", p.Name(), err)
		}
		if math.IsNaN(v) {
			return c, fmt.Errorf("autoscaler: calibrate %s: its score is NaN; accepted: a number", p.Name())
		}
		c.Candidates = append(c.Candidates, Candidate{p.Name(), v})
		if v > c.Candidates[c.Best].Score {
			c.Best = k
		}
	}
	return c, nil
}

// Grids of policies share the Base of what they are copies of: they run one after
// the other.

// utilisations are the targets that grids try.
func utilisations() []float64 { return []float64{.2, .3, .4, .5, .6, .7, .8, .9} }

// HPAGrid are copies of h with targets from 20 to 90 %, and the settings of
// Fast beside its own: names are "hpa 20 %" to "hpa fast 90 %". They are shares
// of h.Target, for Requests what a replica can carry at most; of 1 for CPU.
func HPAGrid(h HPA) []policy.Policy {
	full := h.Target
	if h.Metric == CPU {
		full = or(full, 1)
	}
	var list []policy.Policy
	for _, fast := range []bool{false, true} {
		for _, u := range utilisations() {
			p := HPA{Space: h.Space, Metric: h.Metric, Target: u * full, Rule: h.Rule, Base: h.Base, Label: fmt.Sprintf("%s %.0f %%", h.Name(), 100*u)}
			if fast {
				p.Label, p.Rule = fmt.Sprintf("%s fast %.0f %%", h.Name(), 100*u), Fast()
			}
			list = append(list, &p)
		}
	}
	return list
}

// StepsGrid are copies of s with a metric per replica from 20 to 90 % of its
// PerReplica, which is what a replica can carry at most; of 1 for CPU where it
// has none. Each comes with the cooldown of s and one of 30 s.
func StepsGrid(s Steps) []policy.Policy {
	full := s.Rule.PerReplica
	if s.Metric == CPU {
		full = or(full, 1)
	}
	var list []policy.Policy
	for _, cooldown := range []float64{or(s.Cooldown, 300), 30} {
		for _, u := range utilisations() {
			p := Steps{Space: s.Space, Metric: s.Metric, Rule: s.Rule, Cooldown: cooldown, Fallback: s.Fallback, Base: s.Base}
			p.Rule.Thresholds, p.Rule.PerReplica = nil, u*full
			p.Label = fmt.Sprintf("%s %.0f %%, %v s", s.Name(), 100*u, cooldown)
			list = append(list, &p)
		}
	}
	return list
}

// LookaheadGrid are copies of l with bounds from 20 to 90 %, that look ahead and
// that do not.
func LookaheadGrid(l Lookahead) []policy.Policy {
	var list []policy.Policy
	for _, window := range []int{or(l.Window, 6), 1} {
		for _, u := range utilisations() {
			list = append(list, &Lookahead{Space: l.Space, Time: l.Time, Bound: u, Window: window, Base: l.Base,
				Label: fmt.Sprintf("%s %.0f %% of %d", l.Name(), 100*u, window)})
		}
	}
	return list
}

// AdmissionGrid are copies of a with thresholds from 50 to 99 % and aggressions 1
// to 3.
func AdmissionGrid(a Admission) []policy.Policy {
	var list []policy.Policy
	for _, threshold := range []float64{.5, .7, .8, .9, .95, .99} {
		for _, aggression := range []float64{1, 2, 3} {
			p := Admission{Space: a.Space, Rule: a.Rule, Window: a.Window, Deadline: a.Deadline, Base: a.Base}
			p.Rule.Threshold, p.Rule.Aggression = threshold, aggression
			p.Label = fmt.Sprintf("%s %.0f %%, aggression %v", a.Name(), 100*threshold, aggression)
			list = append(list, &p)
		}
	}
	return list
}

// ConcurrencyGrid are copies of c with buffers from 0 to 200 % of minRTT.
func ConcurrencyGrid(c Concurrency) []policy.Policy {
	var list []policy.Policy
	for _, buffer := range []float64{-1, .1, .25, .5, 1, 2} {
		p := Concurrency{Space: c.Space, Rule: c.Rule, Interval: c.Interval, Jitter: c.Jitter, Base: c.Base}
		p.Rule.Buffer = buffer
		p.Label = fmt.Sprintf("%s buffer %.0f %%", c.Name(), 100*max(0, buffer))
		list = append(list, &p)
	}
	return list
}
