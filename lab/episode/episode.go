// Package episode runs policies through episodes of an environment, and says
// what was paid: rewards, costs, goals missed and requests failed. It is for
// objectives whose rewards may be negative, of which anr's ratios say nothing.
package episode

import (
	"context"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/policy"
)

// Result is what an episode gave. Means are over the steps whose value is known.
type Result struct {
	Steps   int      `json:"steps"`
	Reward  float64  `json:"reward"`         // mean of a step
	Cost    float64  `json:"cost"`           // mean of a step, per s
	Missed  float64  `json:"missed"`         // share of the steps in which a service of the objective missed its goal
	Failed  float64  `json:"failed"`         // share of the requests that were let through without a good answer; NaN where that is not known
	Late    *float64 `json:"late,omitempty"` // share of the answered requests that were later than their goal; nil where that is not known
	Blocked float64  `json:"blocked"`        // share of the requests that were turned away; NaN where that is not known
	Marked  int      `json:"marked"`         // steps that were disturbed
	Unknown int      `json:"unknown"`        // steps whose reward is missing
}

// Watch is told of every step of an episode. What it is given is valid until it
// returns.
type Watch func(control.Step)

// Run makes the given number of steps by p; load and draws follow from seed.
// watch may be nil. An error ends the episode and comes with what was there.
func Run(ctx context.Context, env *control.Env, p policy.Policy, steps int, seed uint64, watch Watch) (Result, error) {
	r := Result{Failed: math.NaN(), Blocked: math.NaN()}
	s, err := env.Reset(ctx, seed)
	if err != nil {
		return r, fmt.Errorf("episode: %w", err)
	}
	p.Reset(seed)
	var failed, blocked, answered, missed, late float64
	for t := range steps {
		a, err := p.Act(s)
		if err != nil {
			return r, fmt.Errorf("episode: %s, step %d: %w", p.Name(), t, err)
		}
		x, err := env.Step(ctx, a)
		if err != nil {
			return r, fmt.Errorf("episode: %s: %w", p.Name(), err)
		}
		r.Steps++
		if x.Measurement.Mark != "" {
			r.Marked++
		}
		if math.IsNaN(x.Reward) {
			r.Unknown++
		} else {
			r.Reward += (x.Reward - r.Reward) / float64(r.Steps-r.Unknown)
		}
		r.Cost += (x.Cost - r.Cost) / float64(r.Steps)
		if x.Missed {
			missed++
		}
		r.Missed = missed / float64(r.Steps)
		for i := range x.Measurement.Service {
			failed += known(x.Measurement.Failed[i])
			blocked += known(x.Measurement.Blocked[i])
			answered += x.Measurement.Service[i].Count
			late += x.Measurement.Late[i] // one that is not known leaves all unknown
		}
		if failed+answered > 0 {
			r.Failed = failed / (failed + answered)
			r.Blocked = blocked / (failed + answered + blocked)
		}
		if answered > 0 && !math.IsNaN(late) {
			share := late / answered
			r.Late = &share
		}
		if watch != nil {
			watch(x)
		}
		s = x.Next
	}
	if r.Unknown == r.Steps {
		r.Reward = math.NaN()
	}
	return r, nil
}

func known(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}
