package autoscaler

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Threshold is from which metric on there are to be so many replicas.
type Threshold struct {
	From     float64 // in the unit of the metric, of all replicas together
	Replicas int
}

// StepRule says how many replicas a metric asks for.
type StepRule struct {
	// Thresholds in any order; of those that the metric has reached, the one with
	// the highest From counts. Below all of them it is the fewest replicas.
	Thresholds []Threshold
	// PerReplica is the metric of each replica, where there are no thresholds.
	PerReplica float64
	// Activation is up to which metric it is the fewest replicas, whatever else the
	// rule says. Default 0.
	Activation float64
}

// Replicas is what the metric of all replicas asks for; 0 for the fewest.
func (r StepRule) Replicas(metric float64) int {
	if metric <= r.Activation {
		return 0
	}
	if len(r.Thresholds) == 0 {
		return int(min(math.Ceil(metric/r.PerReplica-rounding), maxReplicas))
	}
	from, replicas := math.Inf(-1), 0
	for _, t := range r.Thresholds {
		if metric >= t.From && t.From > from {
			from, replicas = t.From, t.Replicas
		}
	}
	return replicas
}

func (r StepRule) validate(name string) error {
	if len(r.Thresholds) == 0 && !(r.PerReplica > 0) {
		return fmt.Errorf("autoscaler: %s has no threshold and a metric of %v per replica; accepted: thresholds, or a number above 0", name, r.PerReplica)
	}
	for _, t := range r.Thresholds {
		if math.IsNaN(t.From) || t.Replicas < 0 {
			return fmt.Errorf("autoscaler: %s has %d replicas from %v on; accepted: a number, and 0 replicas or more", name, t.Replicas, t.From)
		}
	}
	return nil
}

// Steps sets the replicas of every node that has such a knob by a StepRule, as
// event-driven autoscalers do: up at once, down after a cooldown.
type Steps struct {
	Space *mesh.Space
	Label string // its name; default "steps"
	// Metric of a node in the step before. Default CPU, its servers at work.
	Metric Metric
	Rule   StepRule
	// Cooldown is for how many s the rule must have asked for fewer replicas than
	// there are before they go. Default 300, negative: none.
	Cooldown float64
	// Fallback are the replicas while the metric is missing. Default 0, as many as
	// there are.
	Fallback int
	// Base decides the other knobs. Default as without control.
	Base policy.Policy

	frame frame
	knobs []int
	since []float64 // s; when the rule last asked for as many as there are, of each knob
	want  []int
}

// Name is the label.
func (p *Steps) Name() string { return or(p.Label, "steps") }

// SeesDelays is true: what the step before gave decides.
func (p *Steps) SeesDelays() bool { return true }

// Reset begins a run.
func (p *Steps) Reset(seed uint64) {
	p.knobs = nil
	reset(p.Base, seed)
}

// Act sets the replicas. It is an error for a space without them, and for a rule
// that says nothing.
func (p *Steps) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, p.Base, s); err != nil {
		return nil, err
	}
	if p.knobs == nil {
		if err := p.Rule.validate(p.Name()); err != nil {
			return nil, err
		}
		var err error
		if p.knobs, err = knobs(p.Name(), p.Space, mesh.Replicas); err != nil {
			return nil, err
		}
		p.since, p.want = p.since[:0], p.want[:0]
		for _, h := range p.knobs {
			asked, _ := p.frame.replicas(h, s)
			p.since, p.want = append(p.since, s.Time), append(p.want, asked)
		}
	}
	for n, h := range p.knobs {
		x := p.Metric.of(p.Space, s, p.Space.Knobs()[h].Of)
		asks := p.want[n]
		switch {
		case !math.IsNaN(x):
			asks = p.Rule.Replicas(x)
		case p.Fallback > 0 && s.Last != nil:
			asks = p.Fallback
		}
		if asks >= p.want[n] {
			p.since[n] = s.Time
		}
		if asks >= p.want[n] || s.Time-p.since[n] >= positive(p.Cooldown, 300)-rounding {
			p.want[n] = asks
		}
		p.frame.scale(h, p.want[n])
	}
	return p.frame.done(), nil
}
