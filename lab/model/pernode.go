package model

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// PerNode is a model of the distribution of delays at each node.
//
// The distribution of a node's delay is that of the training rows in the
// forest's leaves (Meinshausen 2006), corrected for where in the leaf they
// are: a regression of log d on the carried loads, over the leaves' rows, moves
// each of them to the loads that are asked for (local linear forest; Friedberg
// et al., "Local Linear Forests", JCGS 30, 2020). Counts are moved likewise.
// A node whose own knobs are set otherwise, to other replicas or cores, is another
// node: it has delays of its own in each setting.
//
// Of a service's path the delays of the stages add up; of calls in parallel the
// slowest counts, times a factor for the requests of which another one is, which
// is learned from the delays of whole paths.
type PerNode struct {
	space   *mesh.Space
	layout  *mesh.Layout
	seconds float64          // measured length of a step, s
	carried []*forest.Forest // per service, C_i / (l_i(1-b_i)) from l_i and b_i
	hosts   []host           // per node
	delays  []*nodeDelay     // of each microservice on each of its nodes, in each of the node's configurations
	at      []int            // of each endpoint in delays, in its node's first configuration
	slot    []int            // of each endpoint among its node's microservices
	order   [][points]uint8  // per endpoint: which sample of it a point has
	overlap []*overlap       // per service; nil where it makes no calls in parallel
	slower  [][]float64      // per node, of each of its microservices; nil for as learned
}

var _ Learned = (*PerNode)(nil)

// host is the microservices of a node, and what its delays are learned from:
// what is carried of each, or where there are more than two, how much work that
// is and how uneven.
type host struct {
	microservices []int       // ascending
	mix           [][]float64 // inputs x microservices; nil for what is carried itself
	knobs         []int       // of the node itself, such as its replicas
	configs       int         // settings of those, each of which has delays of its own
}

// maxConfigs bounds the settings of a node's own knobs.
const maxConfigs = 32

// config is the number of the setting of node j's own knobs in action a.
func (p *PerNode) config(j int, a mesh.Action) int {
	at := 0
	for _, h := range p.hosts[j].knobs {
		k := &p.space.Knobs()[h]
		at = at*len(k.Points) + k.Nearest(k.Values(a))
	}
	return at
}

// maxInputs bounds the number of values that a node's delays are learned from.
const maxInputs = 2

// inputs is the number of values that the node's delays are learned from.
func (h *host) inputs() int {
	if h.mix == nil {
		return len(h.microservices)
	}
	return len(h.mix)
}

// encode writes the inputs for what is carried of each microservice, requests/s.
func (h *host) encode(dst, rates []float64) {
	if h.mix == nil {
		copy(dst, rates)
		return
	}
	for k, weights := range h.mix {
		dst[k] = 0
		for u, w := range weights {
			dst[k] += w * rates[u]
		}
	}
}

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

// NodeConfigs is the number of settings of node j's own knobs, each of which a
// model per node learns apart; MaxInt for more.
func NodeConfigs(space *mesh.Space, j int) int {
	n := 1
	for _, k := range space.Knobs() {
		if k.Info.Scope == mesh.PerNode && k.Of == j {
			if n > math.MaxInt/len(k.Points) {
				return math.MaxInt
			}
			n *= len(k.Points)
		}
	}
	return n
}

// checkConfigs reports a node of too many settings.
func checkConfigs(space *mesh.Space) error {
	for j, node := range space.Mesh().Nodes {
		if n := NodeConfigs(space, j); n > maxConfigs {
			return fmt.Errorf("delays of node %s in each of %d settings of its knobs; accepted: at most %d", node.Name, n, maxConfigs)
		}
	}
	return nil
}

// newPerNode numbers what a model of space is made of.
func newPerNode(space *mesh.Space, seconds float64) *PerNode {
	p := &PerNode{space: space, layout: space.Layout(), seconds: seconds}
	p.hosts = make([]host, space.Mesh().N())
	for _, e := range p.layout.Endpoints {
		h := &p.hosts[e.Node]
		u := p.layout.Calls[e.Call].Microservice
		if !slices.Contains(h.microservices, u) {
			h.microservices = append(h.microservices, u)
		}
	}
	for j := range p.hosts {
		h := &p.hosts[j]
		slices.Sort(h.microservices)
		h.configs = NodeConfigs(space, j)
		for n, k := range space.Knobs() {
			if k.Info.Scope == mesh.PerNode && k.Of == j {
				h.knobs = append(h.knobs, n)
			}
		}
	}
	for u := range p.layout.Microservices {
		for j := range p.hosts {
			if !slices.Contains(p.hosts[j].microservices, u) {
				continue
			}
			first := len(p.delays)
			for c := range p.hosts[j].configs {
				p.delays = append(p.delays, &nodeDelay{microservice: u, node: j, config: c, first: first})
			}
		}
	}
	for _, e := range p.layout.Endpoints {
		u := p.layout.Calls[e.Call].Microservice
		p.at = append(p.at, slices.IndexFunc(p.delays, func(d *nodeDelay) bool { return d.microservice == u && d.node == e.Node }))
		p.slot = append(p.slot, slices.Index(p.hosts[e.Node].microservices, u))
	}
	p.order = make([][points]uint8, len(p.at))
	for s := range points {
		at := s
		for e := range p.at {
			p.order[e][s] = uint8((at + 7*e) % points)
			at = at * generator % points
		}
	}
	for _, d := range p.delays {
		d.most = cloudMemory / cloudBytes / len(p.delays)
	}
	p.overlap = make([]*overlap, space.Mesh().M())
	return p
}

// learnPerNode learns from trace t, whose Targets are y.
func learnPerNode(ctx context.Context, t *trace.Table, y *mat.Dense, c forest.Config) (*PerNode, error) {
	if err := checkConfigs(t.Space()); err != nil {
		return nil, fmt.Errorf("model: learn: %w; for more use structure %q", err, JointInputs)
	}
	p := newPerNode(t.Space(), t.Meta().StepSeconds)
	mm, l := t.Mesh(), p.layout
	fit := func(name string, features []string, x, y []float64) (*forest.Forest, error) {
		if len(y) == 0 {
			return nil, fmt.Errorf("model: learn %s: no row has it; needed: 1 or more", name)
		}
		c.FeatureNames, c.OutputNames = features, []string{name}
		f, err := forest.Fit(ctx, mat.NewDense(len(y), len(features), x), column(y), c)
		if err != nil {
			return nil, fmt.Errorf("model: learn %s: %w", name, err)
		}
		return f, nil
	}
	endpoints := len(l.Endpoints)
	for i := range mm.M() {
		var xs, ys []float64
		for r := range t.Len() {
			row := t.Row(r)
			block := p.space.BlockOf(row.Action, i)
			nominal := row.Load[i] * (1 - block)
			if v := y.At(r, endpoints+mm.M()+i); !math.IsNaN(v) && nominal > 0 {
				xs, ys = append(xs, row.Load[i], block), append(ys, v/nominal)
			}
		}
		f, err := fit(mm.CarriedName(i)+" over nominal", []string{mm.LoadName(i), "blocked share of " + mm.Services[i].Name}, xs, ys)
		if err != nil {
			return nil, err
		}
		p.carried = append(p.carried, f)
	}
	passed := make([]float64, len(l.Calls))
	all := make([][][]float64, t.Len()) // what each node carries, rows x nodes x microservices
	for r := range all {
		row := t.Row(r)
		all[r] = p.rates(nil, p.carriedLoads(row.Load, row.Action), p.passed(passed, row), row.Action)
	}
	if err := p.mixInputs(y, all); err != nil {
		return nil, err
	}
	for _, d := range p.delays {
		h := &p.hosts[d.node]
		var xs, ys []float64
		in := make([]float64, h.inputs())
		for r := range t.Len() {
			row := t.Row(r)
			if p.config(d.node, row.Action) != d.config {
				continue
			}
			for e, at := range p.at {
				v := y.At(r, e)
				if at != d.first || math.IsNaN(v) {
					continue
				}
				h.encode(in, all[r][d.node])
				xs, ys = append(xs, in...), append(ys, math.Log(max(v, minDelay)))
				d.count = append(d.count, p.requests(d, row, all[r][d.node]))
			}
		}
		var err error
		name := fmt.Sprintf("log delay of %s on %s", l.Microservices[d.microservice], mm.Nodes[d.node].Name)
		if h.configs > 1 {
			name += fmt.Sprintf(" in setting %d of its knobs", d.config+1)
		}
		if d.forest, err = fit(name, p.inputNames(d.node), xs, ys); err != nil {
			return nil, err
		}
		d.prepare()
	}
	return p, p.learnOverlaps(ctx, t, y, c)
}

// requests is the number of answered requests of delay d's microservice on its
// node in a row, of all services; rates are what the node carries. Where the
// inputs do not tell how many were sent it is the share that was answered.
func (p *PerNode) requests(d *nodeDelay, row trace.Row, rates []float64) float64 {
	count := 0.0
	for e, at := range p.at {
		if at == d.first {
			count += row.Measurement.Endpoint[e].Count
		}
	}
	h := &p.hosts[d.node]
	u, _ := slices.BinarySearch(h.microservices, d.microservice)
	sent := rates[u] * p.seconds
	if !(count > 0) { // not known
		count = sent
	}
	switch {
	case h.mix == nil:
		return count
	case sent > 0:
		return count / sent
	}
	return 1
}

// inputNames are those of what node j's delays are learned from.
func (p *PerNode) inputNames(j int) []string {
	if p.hosts[j].mix != nil {
		return []string{"work carried to " + p.space.Mesh().Nodes[j].Name, "squared work carried to " + p.space.Mesh().Nodes[j].Name}
	}
	var names []string
	for _, u := range p.hosts[j].microservices {
		names = append(names, fmt.Sprintf("%s to %s", p.layout.Microservices[u], p.space.Mesh().Nodes[j].Name))
	}
	return names
}

// mixInputs sums up what is carried to nodes of more than two microservices: a
// request's work is its delay where the node has little to do. all has what each
// node carries in each row, y the targets.
func (p *PerNode) mixInputs(y *mat.Dense, all [][][]float64) error {
	for j := range p.hosts {
		h := &p.hosts[j]
		if len(h.microservices) <= 2 {
			continue
		}
		h.mix = [][]float64{make([]float64, len(h.microservices)), make([]float64, len(h.microservices))}
		for k, u := range h.microservices {
			type row struct{ total, delay float64 }
			var rows []row
			for r := range all {
				for e, at := range p.at {
					if d := p.delays[at]; d.microservice != u || d.node != j {
						continue
					}
					if v := y.At(r, e); !math.IsNaN(v) {
						total := 0.0
						for _, rate := range all[r][j] {
							total += rate
						}
						rows = append(rows, row{total, v})
					}
				}
			}
			if len(rows) == 0 {
				return fmt.Errorf("model: learn delay of %s on %s: no row has it; needed: 1 or more", p.layout.Microservices[u], p.space.Mesh().Nodes[j].Name)
			}
			slices.SortFunc(rows, func(a, b row) int {
				switch {
				case a.total < b.total:
					return -1
				case a.total > b.total:
					return 1
				}
				return 0
			})
			quiet := rows[:max(1, min(len(rows), max(20, len(rows)/20)))]
			work := 0.0
			for _, q := range quiet {
				work += q.delay / float64(len(quiet))
			}
			h.mix[0][k], h.mix[1][k] = work, work*work
		}
	}
	return nil
}

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

// Name is "per node".
func (p *PerNode) Name() string { return "per node" }

// Kind is Measured.
func (p *PerNode) Kind() Kind { return Measured }

// Structure is NodeInputs.
func (p *PerNode) Structure() Structure { return NodeInputs }

// Space is what the model knows the effect of.
func (p *PerNode) Space() *mesh.Space { return p.space }

// Forests returns all forests: those of the delays, then those of the carried
// loads, then those of calls in parallel.
func (p *PerNode) Forests() []*forest.Forest {
	var all []*forest.Forest
	for _, d := range p.delays {
		all = append(all, d.forest)
	}
	all = append(all, p.carried...)
	for _, o := range p.overlap {
		if o != nil {
			all = append(all, o.forest)
		}
	}
	return all
}

// carriedLoad is C_i, the mean carried load of a service in requests/s.
func (p *PerNode) carriedLoad(i int, load mesh.Load, a mesh.Action) float64 {
	return p.carriedAt(i, load[i], p.space.BlockOf(a, i))
}

func (p *PerNode) carriedAt(i int, load, block float64) float64 {
	nominal := load * (1 - block)
	if nominal <= 0 {
		return 0
	}
	var out [1]float64
	in := [2]float64{load, block}
	return nominal * p.carried[i].Predict(out[:], in[:])[0]
}

func (p *PerNode) carriedLoads(load mesh.Load, a mesh.Action) []float64 {
	c := make([]float64, len(load))
	for i := range c {
		c[i] = p.carriedLoad(i, load, a)
	}
	return c
}

// rates writes what is carried of each of its microservices to each node, in
// requests/s, given what the services carry.
func (p *PerNode) rates(dst [][]float64, carried, passed []float64, a mesh.Action) [][]float64 {
	if dst == nil {
		dst = make([][]float64, len(p.hosts))
		for j := range dst {
			dst[j] = make([]float64, len(p.hosts[j].microservices))
		}
	}
	for j := range dst {
		for k := range dst[j] {
			dst[j][k] = 0
		}
	}
	for c := range p.layout.Calls {
		call := &p.layout.Calls[c]
		for k, share := range p.space.RouteOf(a, c) {
			j := call.Nodes[k]
			rate := carried[call.Service] * share
			if passed != nil {
				rate *= passed[c]
			}
			dst[j][p.slot[call.First+k]] += rate
		}
	}
	return dst
}

// passed writes for each call the share of its service's requests that the
// stages before it answered in a row: what a full queue turns away does not reach
// the nodes behind it. It is 1 where that is not known.
func (p *PerNode) passed(dst []float64, row trace.Row) []float64 {
	x := row.Measurement
	for i, stages := range p.layout.Stages {
		share := 1.0
		for k, stage := range stages {
			if k > 0 {
				for _, c := range stages[k-1] {
					count := 0.0
					first, end := p.layout.Of(c)
					for e := first; e < end; e++ {
						count += x.Endpoint[e].Count
					}
					if sent := x.Carried[i] * p.seconds; count > 0 && sent > 0 {
						share = min(share, count/sent)
					}
				}
			}
			for _, c := range stage {
				dst[c] = share
			}
		}
	}
	return dst
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

// At foresees a step.
func (p *PerNode) At(s mesh.State) (control.Forecast, error) {
	if err := checkLoad(p.space, s.Load); err != nil {
		return nil, err
	}
	m, l := p.space.Mesh().M(), p.layout
	o := &outlook{p: p, load: s.Load, carried: make([]blocked, m), mean: make([]float64, m), parts: make([]part, len(l.Endpoints)),
		factor: make([]float64, m), let: make([]float64, m), servers: make([]server, len(p.delays)), sums: make([]float64, m),
		answered: make([]float64, m), calls: make([]float64, len(l.Calls)), lost: make([]float64, m),
		delay: make([][points]float64, len(l.Endpoints)), path: make([][points]float64, m), count: make([][points]float64, m)}
	for j := range p.hosts {
		o.scaled = append(o.scaled, make([]float64, len(p.hosts[j].microservices)))
		o.in = append(o.in, make([]float64, p.hosts[j].inputs()))
	}
	return o, nil
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

	// Of n points under that action, the first and every so manieth from there: the
	// delay of each endpoint, and of each service the response time and the requests
	// that are let through.
	first, every, n    int
	delay, path, count [][points]float64

	stage, requests, sum  [points]float64 // buffers
	sums, answered, calls []float64       // buffers
	two                   [2]float64
	one                   [1]float64
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
		// Who goes on from the first one wants every so manieth, which come at once.
		if from := s - o.first; o.n == 1 && from > 0 {
			o.sample(s, from, (points-1-s)/from+1)
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
	for i, mean := range o.mean {
		x.Service[i].Mean = o.path[i][at]
		x.Carried[i] = 0
		if mean > 0 {
			x.Carried[i] = max(mean+(o.count[i][at]-o.let[i])/o.p.seconds, 0)
		}
		if o.p.slower != nil { // else it is not known
			o.p.failed(x, i, o.lost[i])
		}
	}
}

// sampled is where point s is among those that were computed; -1 for none.
func (o *outlook) sampled(s int) int {
	if s -= o.first; s < 0 || o.n == 0 {
		return -1
	}
	if o.every > 1 {
		if s%o.every > 0 {
			return -1
		}
		s /= o.every
	}
	if s >= o.n {
		return -1
	}
	return s
}

// sample computes n points, the first and every so manieth from there.
func (o *outlook) sample(first, every, n int) {
	o.first, o.every, o.n = first, every, n
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
						x := &q.step[order[first+s*every]]
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

// Mean writes the expected measurement under the action that was set.
func (o *outlook) Mean(x *mesh.Measurement) {
	clear(o.sums)
	clear(o.answered)
	for s := range points {
		o.Draw(s, x)
		for i := range o.sums {
			if d := x.Service[i].Mean; !math.IsNaN(d) {
				o.sums[i] += d
				o.answered[i]++
			}
		}
	}
	for i := range o.sums {
		x.Service[i].Mean = o.sums[i] / o.answered[i] // 0/0 is missing
		x.Carried[i] = o.mean[i]
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

// PredictMatrix returns the targets for rows of inputs.
func (p *PerNode) PredictMatrix(x mat.Matrix) *mat.Dense {
	rows, columns := x.Dims()
	if want := len(p.space.FeatureNames()); columns != want {
		panic(fmt.Sprintf("model: PredictMatrix of %d columns; %s has %d inputs", columns, p.space, want))
	}
	endpoints, m := len(p.layout.Endpoints), p.space.Mesh().M()
	y := mat.NewDense(rows, endpoints+2*m, nil)
	got := mesh.NewMeasurement(p.layout)
	var in []float64
	for r := range rows {
		in = mat.Row(in, r, x)
		load, a := p.space.Split(in)
		f, err := p.At(mesh.State{Load: load})
		if err != nil {
			panic(err.Error())
		}
		o := f.(*outlook)
		o.Set(a)
		o.Mean(&got)
		row := y.RawRowView(r)
		for e := range endpoints {
			row[e] = got.Endpoint[e].Mean
			if math.IsNaN(row[e]) { // that of the first request which would reach it
				j := p.layout.Endpoints[e].Node
				q := p.delays[p.at[e]+p.config(j, a)].at(o.in[j])
				row[e] = q.mean()
			}
		}
		for i := range m {
			row[endpoints+i] = got.Service[i].Mean
			row[endpoints+m+i] = got.Carried[i]
		}
	}
	return y
}
