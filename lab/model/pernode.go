package model

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

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
