package model

import (
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// At foresees a step.
func (p *PerNode) At(s mesh.State) (control.Forecast, error) {
	m, l := p.space.Mesh().M(), p.layout
	o := &outlook{p: p, carried: make([]blocked, m), mean: make([]float64, m), parts: make([]part, len(l.Endpoints)),
		factor: make([]float64, m), let: make([]float64, m), servers: make([]server, len(p.delays)),
		calls: make([]float64, len(l.Calls)), lost: make([]float64, m), draws: newSample(m, 0), expected: newSample(m, 1),
		delay: make([][points]float64, len(l.Endpoints)), path: make([][points]float64, m), count: make([][points]float64, m)}
	for j := range p.hosts {
		o.scaled = append(o.scaled, make([]float64, len(p.hosts[j].microservices)))
		o.in = append(o.in, make([]float64, p.hosts[j].inputs()))
	}
	if err := o.Move(s); err != nil {
		return nil, err
	}
	return o, nil
}

// Move turns to another state.
func (o *outlook) Move(s mesh.State) error {
	if err := checkLoad(o.p.space, s.Load); err != nil {
		return err
	}
	o.load, o.n = s.Load, 0
	for i := range o.carried {
		o.carried[i].rates, o.carried[i].carried = o.carried[i].rates[:0], o.carried[i].carried[:0]
	}
	return nil
}

// outlook foresees the steps of one load under any action. One goroutine uses
// one outlook.
type outlook struct {
	p       *PerNode
	load    mesh.Load
	carried []blocked   // per service
	rates   [][]float64 // of each node's microservices, requests/s
	in      [][]float64 // per node: what its delays follow from
	servers []server    // of each of the model's delays
	turn    int         // counts the actions that were set

	// Of the action that was set last:
	mean   []float64 // C_i
	parts  []part    // of each endpoint, without a cloud where no request goes
	factor []float64 // per service: of the slowest of calls in parallel
	let    []float64 // per service: answered requests of its first call, the mean
	lost   []float64 // per service: share of its requests that come to a lost node
	scaled [][]float64

	// Of n points under that action, from the first on at a stride: the delay of each
	// endpoint, and of each service the response time and the requests that are let
	// through.
	first, stride, n   int
	delay, path, count [][points]float64

	stage, requests, sum [points]float64  // buffers
	draws, expected      objective.Sample // of Sample, of MeanSample
	calls                []float64        // buffers
	two                  [2]float64
	one                  [1]float64
}

// blocked keeps what is carried at the blocking rates that were asked about.
type blocked struct {
	rates, carried []float64
}

// server is a delay at what its node carried when an action last sent it
// requests.
type server struct {
	part
	in   [maxInputs]float64
	turn int
}

// carriedLoad is C_i at a blocking rate.
func (o *outlook) carriedLoad(i int, block float64) float64 {
	known := &o.carried[i]
	for k, b := range known.rates {
		if b == block {
			return known.carried[k]
		}
	}
	c := o.p.carriedAt(i, o.load[i], block)
	if len(known.rates) < maxKnown {
		known.rates, known.carried = append(known.rates, block), append(known.carried, c)
	}
	return c
}

// leastAnswered is the share of requests that a node answers at least, as far as
// counts are scaled by it.
const leastAnswered = 1e-3

// maxKnown bounds the blocking rates whose effect is kept.
const maxKnown = 32

// Set turns to action a.
func (o *outlook) Set(a mesh.Action) error {
	p := o.p
	for i := range o.mean {
		o.mean[i] = o.carriedLoad(i, p.space.BlockOf(a, i))
	}
	o.rates = p.rates(o.rates, o.mean, nil, a)
	for j := range p.hosts {
		p.hosts[j].encode(o.in[j], p.equivalent(o.scaled[j], j, o.rates[j]))
	}
	clear(o.lost)
	o.n = 0
	o.turn++
	l := p.layout
	for c := range l.Calls {
		call, lost := &l.Calls[c], 0.0
		for k, share := range p.space.RouteOf(a, c) {
			e := call.First + k
			if !(o.mean[call.Service]*share > 0) {
				o.parts[e].cloud = nil
				continue
			}
			j := call.Nodes[k]
			slower := p.slowness(j, p.slot[e])
			if math.IsInf(slower, 1) {
				o.parts[e].cloud = nil
				lost += share
				continue
			}
			o.parts[e] = o.server(p.at[e]+p.config(j, a), o.in[j])
			o.parts[e].share = 1
			if total := o.rates[j][p.slot[e]]; total > 0 {
				// A microservice of several services: each has its share of the
				// requests.
				o.parts[e].share = o.mean[call.Service] * share / total
			}
			if q := &o.parts[e]; p.hosts[j].mix != nil {
				// Counts say how they vary, not how many requests there are.
				q.more, q.share = 0, o.mean[call.Service]*share*p.seconds/max(q.meanCount, leastAnswered)
			} else {
				o.parts[e].share /= slower // counts are those of so many times the load
			}
			o.parts[e].factor *= slower
		}
		o.lost[call.Service] = 1 - (1-o.lost[call.Service])*(1-lost)
	}
	for i := range o.mean {
		o.let[i] = 0
		first, end := l.Of(l.Stages[i][0][0])
		for e := first; e < end; e++ {
			if q := &o.parts[e]; q.cloud != nil {
				o.let[i] += (q.meanCount + q.more) * q.share
			}
		}
		o.factor[i] = 1
		if p.overlap[i] != nil {
			o.factor[i] = p.overlap[i].factor(o, i)
		}
	}
	return nil
}

// server is delay k at what its node carries.
func (o *outlook) server(k int, in []float64) part {
	s := &o.servers[k]
	if s.turn == o.turn {
		return s.part
	}
	s.turn = o.turn
	var now [maxInputs]float64
	copy(now[:], in)
	if s.cloud == nil || s.in != now {
		s.in, s.part = now, o.p.delays[k].at(in)
	}
	return s.part
}

// Draws is the number of points that stand for a step.
func (o *outlook) Draws() int { return points }

// Draw writes the s-th of the points that stand for a step under the action
// that was set.
func (o *outlook) Draw(s int, x *mesh.Measurement) {
	at := o.sampled(s)
	if at < 0 {
		// Who goes on from one point to another will go on at that stride: the rest
		// is computed at once.
		if stride := s - o.first; o.n == 1 && stride > 0 {
			o.sample(s, stride, (points-1-s)/stride+1)
		} else {
			o.sample(s, 1, 1)
		}
		at = 0
	}
	for e := range o.parts {
		x.Endpoint[e].Mean = math.NaN()
		if o.parts[e].cloud != nil {
			x.Endpoint[e].Mean = o.delay[e][at]
		}
	}
	for i := range o.mean {
		x.Service[i].Mean = o.path[i][at]
		x.Carried[i] = o.carriedWith(i, o.count[i][at])
		if o.p.slower != nil { // else it is not known
			o.p.failed(x, i, o.lost[i])
		}
	}
}

// carriedWith is what is carried of a service at a point that lets so many requests
// through.
func (o *outlook) carriedWith(i int, count float64) float64 {
	if !(o.mean[i] > 0) {
		return 0
	}
	return max(o.mean[i]+(count-o.let[i])/o.p.seconds, 0)
}

// sampled is where point s is among those that were computed; -1 for none.
func (o *outlook) sampled(s int) int {
	if s -= o.first; s < 0 || o.n == 0 {
		return -1
	}
	if o.stride > 1 {
		if s%o.stride > 0 {
			return -1
		}
		s /= o.stride
	}
	if s >= o.n {
		return -1
	}
	return s
}

// sample computes n points from the first on.
func (o *outlook) sample(first, stride, n int) {
	o.first, o.stride, o.n = first, stride, n
	l := o.p.layout
	for i := range o.mean {
		count, path := o.count[i][:n], o.path[i][:n]
		for k, stage := range l.Stages[i] {
			slowest := path
			if k > 0 {
				slowest = o.stage[:n]
			}
			for b, c := range stage {
				requests, sum := o.requests[:n], o.sum[:n]
				if k == 0 && b == 0 {
					requests = count // what is let through
				}
				clear(requests)
				clear(sum)
				from, to := l.Of(c)
				for e := from; e < to; e++ {
					q := &o.parts[e]
					if q.cloud == nil {
						continue
					}
					delay, order := o.delay[e][:n], &o.p.order[e]
					for s := range delay {
						x := &q.step[order[first+s*stride]]
						n, d := max(x.count+q.more, 0)*q.share, x.delay*q.factor
						requests[s] += n
						sum[s] += float64(n * d)
						delay[s] = d
					}
				}
				for s, n := range requests {
					// 0/0 is missing, and so is then the whole path.
					if mean := sum[s] / n; b == 0 || mean > slowest[s] || math.IsNaN(mean) {
						slowest[s] = mean
					}
				}
			}
			if len(stage) > 1 {
				for s := range slowest {
					slowest[s] *= o.factor[i]
				}
			}
			if k > 0 {
				for s, d := range slowest {
					path[s] += d
				}
			}
		}
	}
}

// Sample has every stride-th of the points under the action that was set.
func (o *outlook) Sample(stride int) objective.Sample {
	n := (points-1)/stride + 1
	o.sample(0, stride, n)
	for i := range o.mean {
		carried := o.count[i][:n]
		for s, count := range carried {
			carried[s] = o.carriedWith(i, count)
		}
		o.draws.Delay[i], o.draws.Carried[i] = o.path[i][:n], carried
	}
	o.n = 0 // the counts are gone
	return o.draws
}

// MeanSample has what Mean has of the services.
func (o *outlook) MeanSample() objective.Sample {
	o.sample(0, 1, points)
	for i := range o.mean {
		sum, answered := 0.0, 0.0
		for _, d := range &o.path[i] {
			if !math.IsNaN(d) {
				sum += d
				answered++
			}
		}
		o.expected.Delay[i][0], o.expected.Carried[i][0] = sum/answered, o.mean[i] // 0/0 is missing
	}
	return o.expected
}

// newSample has room for so many draws of m services.
func newSample(m, draws int) objective.Sample {
	s := objective.Sample{Delay: make([][]float64, m), Carried: make([][]float64, m)}
	for i := range m {
		s.Delay[i], s.Carried[i] = make([]float64, draws), make([]float64, draws)
	}
	return s
}

// Mean writes the expected measurement under the action that was set.
func (o *outlook) Mean(x *mesh.Measurement) {
	m := o.MeanSample()
	for i := range o.mean {
		x.Service[i].Mean, x.Carried[i] = m.Delay[i][0], m.Carried[i][0]
		if o.p.slower != nil {
			o.p.failed(x, i, o.lost[i])
		}
	}
	for e := range o.parts {
		x.Endpoint[e].Mean = math.NaN()
		if o.parts[e].cloud != nil {
			x.Endpoint[e].Mean = o.parts[e].mean()
		}
	}
}
