package model

import (
	"math"
	"slices"
	"sync"

	"github.com/meshbench/meshbench/lab/forest"
)

// nodeDelay is the delay of one microservice on one node.
type nodeDelay struct {
	microservice, node, config int
	first                      int // the delay of the same in the node's first configuration

	forest *forest.Forest // log d, d in s, from the host's inputs
	count  []float64      // answered requests of each training row; with a mix, over those that were sent
	inputs []float64      // training rows x inputs
	scale  []float64      // standard deviation of each input
	lo, hi float64        // smallest and largest log d

	mu     sync.Mutex
	clouds map[lattice]*cloud
	most   int // clouds that are kept
}

const (
	// points is the size of the samples that stand for distributions. Prime, so
	// that its multiples by powers of generator run through all points.
	points = 127
	// generator makes pairs, and triples, of samples cover their square evenly: a
	// rank-1 lattice rule (Korobov), near the golden section of points.
	generator = 78
	// Distributions are computed for carried loads that are multiples of the
	// inputs' standard deviation over grain, and moved from there by the slopes.
	grain = 16
	// ridge shrinks the local slopes; in squared standard deviations of the
	// inputs.
	ridge = .003
	// minDelay keeps logarithms finite, s.
	minDelay = 1e-6
)

// lattice is a point of the inputs that a distribution is computed for, in units
// of scale / grain.
type lattice [maxInputs]int64

// cloudMemory bounds what a model keeps of distributions, bytes; a cloud takes
// about cloudBytes.
const (
	cloudMemory = 512 << 20
	cloudBytes  = 2*8*points + 300
)

// prepare fills what follows from the forest.
func (d *nodeDelay) prepare() {
	rows, m := d.forest.Rows(), len(d.forest.Features())
	d.inputs = make([]float64, rows*m)
	mean := make([]float64, m)
	d.lo, d.hi = math.Inf(1), math.Inf(-1)
	for r := range rows {
		for s, v := range d.forest.Input(d.inputs[r*m:(r+1)*m], r) {
			mean[s] += v / float64(rows)
		}
		v := d.forest.Target(r)[0]
		d.lo, d.hi = min(d.lo, v), max(d.hi, v)
	}
	d.clouds = map[lattice]*cloud{}
	d.scale = make([]float64, m)
	for s := range d.scale {
		for r := range rows {
			v := d.inputs[r*m+s] - mean[s]
			d.scale[s] += v * v / float64(rows)
		}
		if d.scale[s] = math.Sqrt(d.scale[s]); d.scale[s] == 0 {
			d.scale[s] = 1
		}
	}
}

// cloud is a sample of the steps of a node: delays in s, ascending, and the
// answered requests of each step, with the slopes of log delay and of counts
// against the carried loads.
type cloud struct {
	step      [points]sample
	sum       float64 // of delays
	meanCount float64
	centre    []float64 // carried loads, requests/s
	slope     []float64 // m x 2, per request/s
}

// sample is a delay in s and the answered requests.
type sample struct{ delay, count float64 }

// part is a cloud that was moved to other carried loads nearby.
type part struct {
	*cloud
	factor float64 // of delays
	more   float64 // requests
	share  float64 // of the requests that are the call's
}

// at samples the delay at the given carried loads (requests/s).
func (d *nodeDelay) at(rates []float64) part {
	var key lattice
	for s, v := range rates {
		key[s] = int64(math.Round(v * grain / d.scale[s]))
	}
	d.mu.Lock()
	c := d.clouds[key]
	d.mu.Unlock()
	if c == nil {
		centre := make([]float64, len(rates))
		for s := range centre {
			centre[s] = float64(key[s]) * d.scale[s] / grain
		}
		w := workbenches.Get().(*workbench)
		c = w.cloud(d, centre)
		workbenches.Put(w)
		d.mu.Lock()
		if len(d.clouds) >= d.most {
			d.clouds = map[lattice]*cloud{}
		}
		d.clouds[key] = c
		d.mu.Unlock()
	}
	p := part{cloud: c}
	log := 0.0
	for s, v := range rates {
		log += float64(c.slope[2*s] * (v - c.centre[s]))
		p.more += float64(c.slope[2*s+1] * (v - c.centre[s]))
	}
	p.factor = math.Exp(log)
	return p
}

// mean is the mean delay, s.
func (p *part) mean() float64 { return p.sum * p.factor / points }

var workbenches = sync.Pool{New: func() any { return new(workbench) }}

// workbench has the buffers for computing clouds.
type workbench struct {
	neighbours forest.Neighbours
	near       []near
	a          []float64 // m x m
	b          []float64 // m x 2: right-hand sides for log delay and count
	z, mean    []float64
}

// near is a training row that was moved to the loads asked for.
type near struct{ log, count, weight float64 }

// cloud samples the delay d at the given carried loads, which it keeps.
func (w *workbench) cloud(d *nodeDelay, rates []float64) *cloud {
	m := len(rates)
	w.a = slices.Grow(w.a[:0], m*m)[:m*m]
	w.b = slices.Grow(w.b[:0], 2*m)[:2*m]
	w.z = slices.Grow(w.z[:0], m)[:m]
	w.mean = slices.Grow(w.mean[:0], m)[:m]
	clear(w.a)
	clear(w.b)
	clear(w.mean)
	d.forest.Neighbours(&w.neighbours, rates)
	rows, weights := w.neighbours.Rows, w.neighbours.Weights

	var log, count float64
	for k, r := range rows {
		for s := range m {
			w.mean[s] += weights[k] * d.inputs[int(r)*m+s]
		}
		log += float64(weights[k] * d.forest.Target(int(r))[0])
		count += float64(weights[k] * d.count[r])
	}
	for k, r := range rows {
		for s := range m {
			w.z[s] = (d.inputs[int(r)*m+s] - w.mean[s]) / d.scale[s]
		}
		u, v := d.forest.Target(int(r))[0]-log, d.count[r]-count
		for s, z := range w.z {
			zw := weights[k] * z
			for q := range s + 1 {
				w.a[s*m+q] += float64(zw * w.z[q])
			}
			w.b[2*s] += zw * u
			w.b[2*s+1] += zw * v
		}
	}
	for s := range m {
		w.a[s*m+s] += ridge
	}
	solve(w.a, w.b, m)

	w.near = w.near[:0]
	for k, r := range rows {
		e := near{d.forest.Target(int(r))[0], d.count[r], weights[k]}
		for s := range m {
			z := (rates[s] - d.inputs[int(r)*m+s]) / d.scale[s]
			e.log += float64(w.b[2*s] * z)
			e.count += float64(w.b[2*s+1] * z)
		}
		e.log = min(max(e.log, d.lo), d.hi)
		e.count = max(e.count, 0)
		w.near = append(w.near, e)
	}
	slices.SortFunc(w.near, func(x, y near) int {
		switch {
		case x.log < y.log:
			return -1
		case x.log > y.log:
			return 1
		}
		return 0
	})
	// The middles of points equal shares of the weight.
	c := &cloud{centre: rates, slope: slices.Clone(w.b)}
	for s := range rates {
		c.slope[2*s] /= d.scale[s]
		c.slope[2*s+1] /= d.scale[s]
	}
	k, sum := 0, w.near[0].weight
	for s := range points {
		for at := (float64(s) + .5) / points; sum < at && k+1 < len(w.near); {
			k++
			sum += w.near[k].weight
		}
		c.step[s] = sample{math.Exp(w.near[k].log), w.near[k].count}
		c.sum += c.step[s].delay
		c.meanCount += w.near[k].count / points
	}
	return c
}

// solve solves a x = b for a symmetric positive a (m x m, lower triangle) and
// two right-hand sides (m x 2), in place, by Cholesky's factorisation.
func solve(a, b []float64, m int) {
	for s := range m {
		for q := range s + 1 {
			v := a[s*m+q]
			for k := range q {
				v -= a[s*m+k] * a[q*m+k]
			}
			if q == s {
				a[s*m+s] = math.Sqrt(v)
			} else {
				a[s*m+q] = v / a[q*m+q]
			}
		}
	}
	for c := range 2 {
		for s := range m {
			for k := range s {
				b[2*s+c] -= a[s*m+k] * b[2*k+c]
			}
			b[2*s+c] /= a[s*m+s]
		}
		for s := m - 1; s >= 0; s-- {
			for k := s + 1; k < m; k++ {
				b[2*s+c] -= a[k*m+s] * b[2*k+c]
			}
			b[2*s+c] /= a[s*m+s]
		}
	}
}
