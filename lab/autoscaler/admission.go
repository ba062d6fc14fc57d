package autoscaler

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// AdmissionRule is Envoy's admission control: it rejects requests at random when
// too few succeed, so that what is left does. Names and defaults are those of
// envoy.extensions.filters.http.admission_control.v3.
type AdmissionRule struct {
	Threshold  float64 // share of requests that are to succeed; default 0.95
	Aggression float64 // above 1 rejects earlier; default 1
	Most       float64 // highest probability of a rejection; default 0.8
	MinRate    float64 // requests/s up to which nothing is rejected; default 0
}

// Probability is that of a rejection after n requests of which so many succeeded:
// ((n - s) / (n + 1))^(1/aggression) with s = successes / threshold, at most Most.
func (r AdmissionRule) Probability(n, successes float64) float64 {
	p := (n - successes/or(r.Threshold, .95)) / (n + 1)
	if !(p > 0) {
		return 0
	}
	return min(math.Pow(p, 1/or(r.Aggression, 1)), or(r.Most, .8))
}

// Admission turns requests away by Envoy's admission control, for every service
// that has such a knob: the share of them is the point nearest to the rule's
// probability, and not above Most. A request succeeds when it is answered well
// and in time.
type Admission struct {
	Space *mesh.Space
	Label string // its name; default "admission"
	Rule  AdmissionRule
	// Window is over how many s requests are counted. Default 30, as in Envoy.
	Window float64
	// Deadline is the timeout in s of each service's requests, length m: a slower
	// one is a failure. Default none. Where only the mean of response times is
	// known they are taken to be exponential; where quantiles are, their
	// logarithmic survival is interpolated.
	Deadline []float64
	// Base decides the other knobs. Default as without control.
	Base policy.Policy

	frame  frame
	knobs  []int
	time   float64 // s; of the step before
	counts []counted
}

// counted are the requests of a step, by service.
type counted struct {
	at            float64 // s; when the step ended
	n, successful []float64
}

// Name is the label.
func (p *Admission) Name() string { return or(p.Label, "admission") }

// SeesDelays is true: what the step before gave decides.
func (p *Admission) SeesDelays() bool { return true }

// Reset begins a run.
func (p *Admission) Reset(seed uint64) {
	p.counts, p.time = nil, 0
	reset(p.Base, seed)
}

// Act sets what is blocked. It is an error for a space without such a knob, and
// for deadlines that are not those of its services.
func (p *Admission) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, p.Base, s); err != nil {
		return nil, err
	}
	if m := p.Space.Mesh(); p.Deadline != nil && len(p.Deadline) != m.M() {
		return nil, fmt.Errorf("autoscaler: %s has %d deadlines for the %d services of %s", p.Name(), len(p.Deadline), m.M(), m)
	}
	if p.knobs == nil {
		var err error
		if p.knobs, err = knobs(p.Name(), p.Space, mesh.Block); err != nil {
			return nil, err
		}
	}
	p.count(s)
	for _, h := range p.knobs {
		i := p.Space.Knobs()[h].Of
		n, successful := 0.0, 0.0
		for _, c := range p.counts {
			n, successful = n+c.n[i], successful+c.successful[i]
		}
		share := 0.0
		if n > p.Rule.MinRate*or(p.Window, 30) {
			share = p.Rule.Probability(n, successful)
		}
		p.frame.block(h, share, or(p.Rule.Most, .8))
	}
	return p.frame.done(), nil
}

// count adds the requests of the step before, those that were let through, and
// forgets those that the window has left behind.
func (p *Admission) count(s mesh.State) {
	seconds := s.Time - p.time
	p.time = s.Time
	for len(p.counts) > 0 && !within(p.counts[0].at, s.Time, or(p.Window, 30)) {
		p.counts = p.counts[1:]
	}
	if s.Last == nil {
		return
	}
	m := p.Space.Mesh().M()
	c := counted{at: s.Time, n: make([]float64, m), successful: make([]float64, m)}
	for i := range m {
		answered, failed := s.Last.Service[i].Count, s.Last.Failed[i]
		if math.IsNaN(failed) {
			failed = 0
		}
		if answered == 0 && failed == 0 && s.Last.Carried[i] > 0 { // a simulator, which has rates only
			answered = s.Last.Carried[i] * seconds
		}
		late := 0.0
		if p.Deadline != nil {
			late = slower(s.Last.Service[i], p.Deadline[i])
		}
		c.n[i], c.successful[i] = answered+failed, answered*(1-late)
	}
	p.counts = append(p.counts, c)
}

// slower is the share of requests that take longer than so many s, by the
// summary of their response times.
func slower(d mesh.Delay, seconds float64) float64 {
	if math.IsNaN(d.Mean) {
		return 0
	}
	if math.IsNaN(d.P50 + d.P95 + d.P99) {
		return math.Exp(-seconds / d.Mean)
	}
	// The logarithm of the share that is slower falls in a straight line between
	// what is known, and from there on as it did before.
	at, left := 0.0, 0.0
	slope := 0.0
	for _, q := range []struct{ at, left float64 }{{d.P50, math.Log(.5)}, {d.P95, math.Log(.05)}, {d.P99, math.Log(.01)}} {
		if q.at > at {
			slope = (q.left - left) / (q.at - at)
		}
		if seconds < q.at {
			return math.Exp(left + float64(slope*(seconds-at)))
		}
		at, left = q.at, q.left
	}
	return math.Exp(left + float64(slope*(seconds-at)))
}
