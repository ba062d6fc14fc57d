package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// Structure is which inputs a measured target is learned from.
type Structure int

const (
	// Joint learns every target from all loads and controls (paper, Eq. 5).
	Joint Structure = iota
	// PerNode learns the distribution of d_ij from the loads that are carried to
	// node j alone, m inputs instead of m(n+1), and forms d_i from the nodes'
	// distributions by their request counts. That is right for nodes which share
	// no resource, and needs far fewer rows. How much is carried, C_i, is learned
	// from l_i and b_i. Across nodes, and across services on a node, delays are
	// taken as independent given the carried loads.
	PerNode
)

func (s Structure) String() string { return [...]string{"joint", "per node"}[s] }

// perNode is a model of structure PerNode.
//
// The distribution of a node's delay is that of the training rows in the
// forest's leaves (Meinshausen 2006), corrected for where in the leaf they
// are: a regression of log d on the carried loads, over the leaves' rows, moves
// each of them to the loads that are asked for (local linear forest; Friedberg
// et al., "Local Linear Forests", JCGS 30, 2020). Counts are moved likewise.
type perNode struct {
	mesh    mesh.Mesh
	seconds float64          // measured length of a step, s
	carried []*forest.Forest // per service, C_i / (l_i(1-b_i)) from l_i and b_i
	delays  []*nodeDelay     // m x n
}

// nodeDelay is the delay of one service on one node.
type nodeDelay struct {
	forest *forest.Forest // log d_ij, d_ij in s, from the loads carried to the node, requests/s
	count  []float64      // answered requests of each training row
	inputs []float64      // training rows x m
	scale  []float64      // standard deviation of each input
	lo, hi float64        // smallest and largest log d_ij

	mu     sync.Mutex
	clouds map[string]*cloud // by the lattice point of the carried loads
}

const (
	// points is the size of the samples that stand for distributions. Prime, so
	// that its multiples by powers of lattice run through all points.
	points = 127
	// lattice makes pairs, and triples, of samples cover their square evenly: a
	// rank-1 lattice rule (Korobov), near the golden section of points.
	lattice = 78
	// Distributions are computed for carried loads that are multiples of the
	// inputs' standard deviation over grain, and moved from there by the slopes.
	grain = 16
	// ridge shrinks the local slopes; in squared standard deviations of the
	// inputs.
	ridge = .003
	// minDelay keeps logarithms finite, s.
	minDelay = 1e-6
)

// learnPerNode learns from trace t, whose Targets are y.
func learnPerNode(ctx context.Context, t *trace.Table, y *mat.Dense, c forest.Config) (*perNode, error) {
	mm := t.Mesh()
	m, n := mm.M(), mm.N()
	p := &perNode{mesh: mm, seconds: t.Meta().StepSeconds}
	fit := func(name string, features []string, x, y []float64) (*forest.Forest, error) {
		if len(y) == 0 {
			return nil, fmt.Errorf("sim: learn %s: no row of the trace has it", name)
		}
		c.FeatureNames, c.OutputNames = features, []string{name}
		f, err := forest.Fit(ctx, mat.NewDense(len(y), len(features), x), column(y), c)
		if err != nil {
			return nil, fmt.Errorf("sim: learn %s: %w", name, err)
		}
		return f, nil
	}
	for i := range m {
		var xs, ys []float64
		for r := range t.Len() {
			row := t.Row(r)
			nominal := row.Load[i] * (1 - row.Action.Block[i])
			if v := y.At(r, m*n+m+i); !math.IsNaN(v) && nominal > 0 {
				xs, ys = append(xs, row.Load[i], row.Action.Block[i]), append(ys, v/nominal)
			}
		}
		f, err := fit(mm.CarriedName(i)+" over nominal", []string{mm.LoadName(i), mm.BlockName(i)}, xs, ys)
		if err != nil {
			return nil, err
		}
		p.carried = append(p.carried, f)
	}
	rates := make([]float64, t.Len()*m*n) // carried to each node, rows x m*n
	for r := range t.Len() {
		row := t.Row(r)
		p.rates(rates[r*m*n:(r+1)*m*n], row.Load, row.Action)
	}
	for i := range m {
		for j := range n {
			d := &nodeDelay{}
			var xs, ys []float64
			for r := range t.Len() {
				v := y.At(r, i*n+j)
				if math.IsNaN(v) {
					continue
				}
				for s := range m {
					xs = append(xs, rates[r*m*n+s*n+j])
				}
				ys = append(ys, math.Log(max(v, minDelay)))
				count := t.Row(r).Measurement.Node[i*n+j].Count
				if !(count > 0) { // not known
					count = rates[r*m*n+i*n+j] * p.seconds
				}
				d.count = append(d.count, count)
			}
			var features []string
			for s := range m {
				features = append(features, fmt.Sprintf("%s to %s", mm.CarriedName(s), mm.NodeNames()[j]))
			}
			var err error
			if d.forest, err = fit("log "+mm.NodeDelayName(i, j), features, xs, ys); err != nil {
				return nil, err
			}
			d.prepare()
			p.delays = append(p.delays, d)
		}
	}
	return p, nil
}

func column(v []float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }

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
	d.clouds = map[string]*cloud{}
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

// forests returns all forests: those of the delays, then those of the carried
// loads.
func (p *perNode) forests() []*forest.Forest {
	var all []*forest.Forest
	for _, d := range p.delays {
		all = append(all, d.forest)
	}
	return append(all, p.carried...)
}

// carriedLoad is C_i, the mean carried load of a service in requests/s.
func (p *perNode) carriedLoad(i int, load, block float64) float64 {
	nominal := load * (1 - block)
	if nominal <= 0 {
		return 0
	}
	var out [1]float64
	in := [2]float64{load, block}
	return nominal * p.carried[i].Predict(out[:], in[:])[0]
}

// rates writes what is carried of each service to each node, m x n, requests/s.
func (p *perNode) rates(dst []float64, load mesh.Load, a mesh.Action) {
	n := p.mesh.N()
	for i := range load {
		c := p.carriedLoad(i, load[i], a.Block[i])
		for j := range n {
			dst[i*n+j] = c * a.Route[i*n+j]
		}
	}
}

// cloud is a sample of the steps of a node: delays in s, ascending, and the
// answered requests of each step, with the slopes of log delay and of counts
// against the carried loads.
type cloud struct {
	delay, count [points]float64
	meanCount    float64
	centre       []float64 // carried loads, requests/s
	slope        []float64 // m x 2, per request/s
}

// part is a cloud that was moved to other carried loads nearby.
type part struct {
	*cloud
	factor float64 // of delays
	more   float64 // requests
}

// at samples the delay at the given carried loads (requests/s). key is a
// buffer.
func (d *nodeDelay) at(rates []float64, key []byte) part {
	key = key[:0]
	for s, v := range rates {
		key = binary.AppendVarint(key, int64(math.Round(v*grain/d.scale[s])))
	}
	d.mu.Lock()
	c := d.clouds[string(key)]
	d.mu.Unlock()
	if c == nil {
		centre := make([]float64, len(rates))
		for s, v := range rates {
			centre[s] = math.Round(v*grain/d.scale[s]) * d.scale[s] / grain
		}
		w := workbenches.Get().(*workbench)
		c = w.cloud(d, centre)
		workbenches.Put(w)
		d.mu.Lock()
		d.clouds[string(key)] = c
		d.mu.Unlock()
	}
	p := part{cloud: c}
	log := 0.0
	for s, v := range rates {
		log += c.slope[2*s] * (v - c.centre[s])
		p.more += c.slope[2*s+1] * (v - c.centre[s])
	}
	p.factor = math.Exp(log)
	return p
}

// mean is the mean delay, s.
func (p part) mean() float64 {
	sum := 0.0
	for _, d := range p.delay {
		sum += d
	}
	return sum * p.factor / points
}

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
		log += weights[k] * d.forest.Target(int(r))[0]
		count += weights[k] * d.count[r]
	}
	for k, r := range rows {
		for s := range m {
			w.z[s] = (d.inputs[int(r)*m+s] - w.mean[s]) / d.scale[s]
		}
		u, v := d.forest.Target(int(r))[0]-log, d.count[r]-count
		for s, z := range w.z {
			zw := weights[k] * z
			for q := range s + 1 {
				w.a[s*m+q] += zw * w.z[q]
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
			e.log += w.b[2*s] * z
			e.count += w.b[2*s+1] * z
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
		c.delay[s], c.count[s] = math.Exp(w.near[k].log), w.near[k].count
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

// outlook foresees the steps of one load under any action. One goroutine uses
// one outlook.
type outlook struct {
	p       *perNode
	load    mesh.Load
	carried []map[float64]float64 // per service: C_i by blocking rate
	rates   []float64             // of one node, requests/s
	key     []byte

	// Of the action that was set last:
	mean  []float64 // C_i
	parts []part    // m x n, without a cloud where no request goes
}

func (p *perNode) outlook(load mesh.Load) *outlook {
	m, n := p.mesh.M(), p.mesh.N()
	o := &outlook{p: p, load: load, rates: make([]float64, m), mean: make([]float64, m), parts: make([]part, m*n)}
	for range m {
		o.carried = append(o.carried, map[float64]float64{})
	}
	return o
}

// set turns to action a.
func (o *outlook) set(a mesh.Action) {
	n := o.p.mesh.N()
	for i := range o.mean {
		c, ok := o.carried[i][a.Block[i]]
		if !ok {
			c = o.p.carriedLoad(i, o.load[i], a.Block[i])
			o.carried[i][a.Block[i]] = c
		}
		o.mean[i] = c
	}
	for j := range n {
		for i, c := range o.mean {
			o.rates[i] = c * a.Route[i*n+j]
		}
		for i, rate := range o.rates {
			o.parts[i*n+j] = part{}
			if rate > 0 {
				o.parts[i*n+j] = o.p.delays[i*n+j].at(o.rates, o.key)
			}
		}
	}
}

// point writes the s-th of the points that stand for a step under the action
// that was set.
func (o *outlook) point(s int, x *mesh.Measurement) {
	n := o.p.mesh.N()
	at := s
	for i, mean := range o.mean {
		count, centre, sum := 0.0, 0.0, 0.0
		for j := range n {
			k := (at + 7*(i*n+j)) % points
			at = at * lattice % points
			c := &o.parts[i*n+j]
			if c.cloud == nil {
				x.Node[i*n+j].Mean = math.NaN()
				continue
			}
			requests, d := max(c.count[k]+c.more, 0), c.delay[k]*c.factor
			count += requests
			centre += c.meanCount + c.more
			sum += requests * d
			x.Node[i*n+j].Mean = d
		}
		x.Service[i].Mean = sum / count // 0/0 is missing
		x.Carried[i] = 0
		if mean > 0 {
			x.Carried[i] = max(mean+(count-centre)/o.p.seconds, 0)
		}
	}
}

// means appends the expected Targets under the action that was set.
func (o *outlook) means(dst []float64, x *mesh.Measurement) []float64 {
	m, n := o.p.mesh.M(), o.p.mesh.N()
	first := len(dst)
	dst = append(dst, make([]float64, m*n+m)...)
	y := dst[first:]
	for i := range m {
		for j := range n {
			c := &o.parts[i*n+j]
			if c.cloud == nil {
				y[i*n+j] = math.NaN()
				continue
			}
			y[i*n+j] = c.mean()
		}
	}
	answered := make([]float64, m)
	for s := range points {
		o.point(s, x)
		for i := range m {
			if d := x.Service[i].Mean; !math.IsNaN(d) {
				y[m*n+i] += d
				answered[i]++
			}
		}
	}
	for i := range m {
		y[m*n+i] /= answered[i] // 0/0 is missing
	}
	return append(dst, o.mean...)
}

// unreached fills in y, which holds Targets, the delays d_ij of what no request
// reaches: those of the first that would.
func (p *perNode) unreached(y []float64, load mesh.Load, a mesh.Action) {
	m, n := p.mesh.M(), p.mesh.N()
	rates := make([]float64, m*n)
	p.rates(rates, load, a)
	at := make([]float64, m)
	for j := range n {
		for i := range m {
			at[i] = rates[i*n+j]
		}
		for i := range m {
			if math.IsNaN(y[i*n+j]) {
				y[i*n+j] = p.delays[i*n+j].at(at, nil).mean()
			}
		}
	}
}
