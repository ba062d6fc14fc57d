package autoscaler

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// HPA sets the replicas of every node that has such a knob as the Horizontal
// Pod Autoscaler sets those of a Deployment: a Rule for each node. Its metric is
// the mean over the steps since the decision before, or since other replicas
// serve. Those that were asked for and do not serve yet are not ready, and those
// that came to serve in the step before have no metric yet. It takes decisions in the first step at or after each multiple of Sync, and keeps to
// them in between. The least and the most that it asks for are those of the
// knob's points, without 0: an autoscaler does not scale to nothing.
type HPA struct {
	Space *mesh.Space
	Label string // its name; default "hpa"
	// Metric is what is kept at the target. Default CPU.
	Metric Metric
	// Target of each replica. For CPU a utilisation, default 0.8; for Requests the
	// requests/s of a replica of speed 1, which has no default.
	Target float64
	Rule   Rule
	// Base decides the other knobs. Default as without control.
	Base policy.Policy

	frame frame
	knobs []int
	next  float64 // s; when the next decision is due
	nodes []scaled
}

// scaled is a node under an HPA.
type scaled struct {
	auto    Autoscaler
	ready   int     // replicas that served when the step before began
	served  int     // and those that served in it
	sum     float64 // of the metric of a replica, over so many steps in which as many served
	steps   float64
	desired int
}

// Name is the label.
func (p *HPA) Name() string { return or(p.Label, "hpa") }

// SeesDelays is true: what the step before gave decides.
func (p *HPA) SeesDelays() bool { return true }

// Reset begins a run.
func (p *HPA) Reset(seed uint64) {
	p.nodes, p.next = p.nodes[:0], 0
	reset(p.Base, seed)
}

// Act decides where a decision is due. It is an error for a space without
// replicas, and for a target that is not above 0.
func (p *HPA) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, p.Base, s); err != nil {
		return nil, err
	}
	if len(p.nodes) == 0 {
		if err := p.start(s); err != nil {
			return nil, err
		}
	}
	due := s.Time >= p.next-rounding
	if due {
		p.next = (math.Floor(s.Time/p.Rule.sync()+rounding) + 1) * p.Rule.sync()
	}
	for n, h := range p.knobs {
		k, node := &p.Space.Knobs()[h], &p.nodes[n]
		asked, ready := p.frame.replicas(h, s)
		node.see(k, ready, p.Metric.of(p.Space, s, k.Of))
		if due {
			least, most := bounds(k)
			list := pods(asked, ready, min(ready, node.served), node.sum/node.steps)
			node.desired = node.auto.Decide(s.Time, asked, least, most, p.target(k.Of), list)
			node.sum, node.steps = 0, 0
		}
		p.frame.scale(h, node.desired)
	}
	return p.frame.done(), nil
}

// start makes the autoscalers of a run.
func (p *HPA) start(s mesh.State) (err error) {
	if p.knobs, err = knobs(p.Name(), p.Space, mesh.Replicas); err != nil {
		return err
	}
	if p.Target < 0 || math.IsInf(p.Target, 0) || math.IsNaN(p.Target) || p.Target == 0 && p.Metric != CPU {
		return fmt.Errorf("autoscaler: %s has a target of %v (%s) per replica; accepted: a finite number above 0", p.Name(), p.Target, p.Metric)
	}
	for _, h := range p.knobs {
		asked, _ := p.frame.replicas(h, s)
		p.nodes = append(p.nodes, scaled{auto: Autoscaler{Rule: p.Rule}, desired: asked})
	}
	return nil
}

// target of a replica of node j.
func (p *HPA) target(j int) float64 {
	if p.Metric == CPU {
		return or(p.Target, .8)
	}
	return p.Target * speed(p.Space, p.frame.action, j)
}

// see adds the metric of the step before, where there is one.
func (n *scaled) see(k *mesh.KnobAt, ready int, metric float64) {
	served := ready
	if k.Up > 0 { // what came to serve did so by the end of the step
		served = min(ready, n.ready)
	}
	if served != n.served {
		n.sum, n.steps = 0, 0
	}
	n.ready, n.served = ready, served
	if served > 0 && !math.IsNaN(metric) {
		n.sum += metric / float64(served)
		n.steps++
	}
}

// pods are those of a node that were asked for, of which some are ready, of
// which some have a metric.
func pods(asked, ready, measured int, metric float64) []Pod {
	list := make([]Pod, asked)
	for k := range list {
		list[k] = Pod{Ready: k < ready, Metric: math.NaN()}
		if k < measured {
			list[k].Metric = metric
		}
	}
	return list
}

// bounds are the fewest and the most replicas of a knob, without 0 where it has
// others.
func bounds(k *mesh.KnobAt) (least, most int) {
	for _, p := range k.Points {
		n := int(p[0])
		most = max(most, n)
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least, most
}
