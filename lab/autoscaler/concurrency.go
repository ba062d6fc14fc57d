package autoscaler

import (
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Gradient is the controller of Envoy's adaptive concurrency: it raises the
// limit on requests that are under way at once while they take little longer
// than without load, and lowers it when they do. Defaults are those of
// envoy.extensions.filters.http.adaptive_concurrency.v3.
type Gradient struct {
	Least  float64 // lowest limit; default 3
	Most   float64 // highest limit; default 1000
	Buffer float64 // by how much of minRTT responses may be slower; default 0.25, negative: 0
}

// Next is the limit after one at which requests took sampleRTT s, where minRTT s
// is what they take without load: limit x gradient and the square root of that
// as headroom, in whole requests, with gradient minRTT (1 + buffer) / sampleRTT
// between 1/2 and 2.
func (g Gradient) Next(limit, minRTT, sampleRTT float64) float64 {
	gradient := minRTT * (1 + positive(g.Buffer, .25)) / sampleRTT
	limit = float64(limit * min(max(gradient, .5), 2))
	return min(max(math.Floor(limit+math.Sqrt(limit)), or(g.Least, 3)), or(g.Most, 1000))
}

// Concurrency turns requests away by adaptive concurrency, for every service
// that has such a knob. So many requests are under way at once as come in the
// time that one takes (Little's law): what is blocked is the share of offered
// load x response time that is above the limit, at the point nearest to it, and
// never everything. The limit moves once a step. Response times are the medians
// of the step before where there are, else the means.
//
// Every Interval, and at the beginning, one step is made at the lowest limit,
// and what requests take in it is minRTT, as in Envoy.
type Concurrency struct {
	Space *mesh.Space
	Label string // its name; default "concurrency"
	Rule  Gradient
	// Interval is the time in s between measurements of minRTT. Default 60;
	// negative: never, minRTT is the least response time of the run.
	Interval float64
	// Jitter is by how much of it an interval is longer at most, drawn by the run's
	// seed, so that services are not measured at once. Default 0.1, negative: 0.
	Jitter float64
	// Base decides the other knobs. Default as without control.
	Base policy.Policy

	frame    frame
	knobs    []int
	rng      *rand.Rand
	services []limited
}

// limited is a service under a limit.
type limited struct {
	limit    float64
	min, rtt float64 // s; NaN before the first
	probing  bool    // this step measures min
	next     float64 // s; when the next such step is due
}

// Name is the label.
func (p *Concurrency) Name() string { return or(p.Label, "concurrency") }

// SeesDelays is true.
func (p *Concurrency) SeesDelays() bool { return true }

// Reset begins a run.
func (p *Concurrency) Reset(seed uint64) {
	p.rng, p.services = rand.New(rand.NewPCG(seed, 0x677261646965)), nil
	reset(p.Base, seed)
}

// Act sets what is blocked. It is an error for a space without such a knob.
func (p *Concurrency) Act(s mesh.State) (mesh.Action, error) {
	if err := p.frame.begin(p.Space, p.Base, s); err != nil {
		return nil, err
	}
	if p.rng == nil {
		p.Reset(0)
	}
	if p.services == nil {
		var err error
		if p.knobs, err = knobs(p.Name(), p.Space, mesh.Block); err != nil {
			return nil, err
		}
		for range p.knobs {
			p.services = append(p.services, limited{limit: or(p.Rule.Least, 3), min: math.NaN(), rtt: math.NaN(), probing: p.Interval >= 0})
		}
	}
	for n, h := range p.knobs {
		i, c := p.Space.Knobs()[h].Of, &p.services[n]
		if s.Last != nil {
			p.sample(c, s.Last.Service[i], s.Time)
		}
		limit := c.limit
		if c.probing {
			limit = or(p.Rule.Least, 3)
		}
		share := 0.0
		if under := s.Load[i] * c.rtt; under > limit { // not while no response time is known
			share = 1 - limit/under
		}
		p.frame.block(h, share, 1-1e-6)
	}
	return p.frame.done(), nil
}

// sample learns from the response times of the step before.
func (p *Concurrency) sample(c *limited, d mesh.Delay, now float64) {
	rtt := d.P50
	if math.IsNaN(rtt) {
		rtt = d.Mean
	}
	if !(rtt > 0) {
		return // nothing was answered; a measurement goes on until something is
	}
	c.rtt = rtt
	switch {
	case c.probing:
		c.min, c.probing = rtt, false
		c.next = now + float64(or(p.Interval, 60)*(1+float64(positive(p.Jitter, .1)*p.rng.Float64())))
	case p.Interval < 0 && !(c.min <= rtt):
		c.min = rtt
		fallthrough
	default:
		c.limit = p.Rule.Next(c.limit, c.min, rtt)
	}
	c.probing = c.probing || p.Interval >= 0 && now >= c.next-rounding
}
