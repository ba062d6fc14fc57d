// Package model learns system models of a mesh from traces (paper, Eq. 5): what
// delays and carried loads a load and an action give. A Joint model is forests
// over all loads and controls, as the paper has it; a PerNode model is the
// distribution of each node's delays given what is carried to it, put together
// along the services' paths; a Queueing model needs no trace. All are
// control.Models: anything that takes one takes any of them, or one of yours.
package model

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// Kind is what a system model learns from a trace.
type Kind int

const (
	// Measured learns what was measured: d_i and d_ij from the rows that have
	// them, and the carried load. An endpoint that no request reaches has no delay.
	Measured Kind = iota
	// AsPublished learns as the authors' code does: one forest for all d_ij, a
	// delay of 0 where no request went, carried load l(1-b) whatever the trace
	// says. Use it with objective.Objective.AsPublished.
	AsPublished
	// Tails learns as Measured, and the percentiles of d_i and the shares of failed
	// requests too, for objectives that look at those (objective.Objective.Tail).
	Tails
)

func (k Kind) String() string { return [...]string{"measured", "as published", "tails"}[k] }

// measured reports whether k learns what was measured.
func (k Kind) measured() bool { return k != AsPublished }

// tails are the targets of Tails for each service besides those of Measured.
const tails = 4

// Structure is which inputs a measured target is learned from.
type Structure int

const (
	// JointInputs learns every target from all loads and controls (paper, Eq. 5).
	JointInputs Structure = iota
	// NodeInputs learns the distribution of d_ij from the loads that are carried
	// to node j alone, and forms d_i from the nodes' distributions by their request
	// counts. That is right for nodes which share no resource, and needs far fewer
	// rows. How much is carried, C_i, is learned from l_i and b_i. Across nodes,
	// and across services on a node, delays are taken as independent given the
	// carried loads.
	NodeInputs
)

func (s Structure) String() string { return [...]string{"joint", "per node"}[s] }

// Config holds the settings of Learn.
type Config struct {
	// Kind is what is learned. Default Measured.
	Kind Kind
	// Structure is which inputs the targets are learned from; NodeInputs is for
	// Kind Measured. Default JointInputs. NodeInputs moves training rows within leaves,
	// so that its leaves can be large: a Forest.MinLeaf of 40 suits it.
	Structure Structure
	// Separate learns a forest of its own for each target also when as
	// published. The other models always do.
	Separate bool
	// Median is the weight of the median of the leaves' rows in a prediction,
	// that of their mean being 1-Median, for JointInputs. Default 0, the mean
	// alone as the authors have it, which minimises the squared error; the median
	// minimises the absolute error.
	Median float64
	// Forest holds the settings of each forest. Its names are set by Learn.
	// If Trees is 0, it will be defaulted to the authors' 120.
	Forest forest.Config
}

// Learned is a model of a trace.
type Learned interface {
	control.Model
	Kind() Kind
	Structure() Structure
	// Forests are those that it is made of.
	Forests() []*forest.Forest
	// PredictMatrix returns Targets for rows of inputs whose columns are the
	// space's FeatureNames: rows x targets. It gives the delays of endpoints also
	// where no request goes, unlike a forecast. It panics when the number of
	// columns is wrong or a value is not finite.
	PredictMatrix(x mat.Matrix) *mat.Dense
	// Save writes the model to a file that Load reads.
	Save(path string) error
}

// Targets names what a model of the given space and kind predicts, in order:
// the delays of all endpoints, for all but AsPublished also d_i and the carried
// loads, and for Tails the percentiles and the share that failed, service by
// service.
func Targets(space *mesh.Space, kind Kind) []string {
	names := space.Layout().DelayNames()
	if kind == AsPublished {
		return names
	}
	m := space.Mesh()
	for i := range m.M() {
		names = append(names, m.DelayName(i))
	}
	for i := range m.M() {
		names = append(names, m.CarriedName(i))
	}
	if kind != Tails {
		return names
	}
	for i := range m.M() {
		d := m.DelayName(i)
		names = append(names, d+"_p50", d+"_p95", d+"_p99", fmt.Sprintf("failed%d", i+1))
	}
	return names
}

// TargetValues returns what trace t has of Targets, rows x targets, NaN where
// it is missing.
func TargetValues(t *trace.Table, kind Kind) (*mat.Dense, error) {
	y, err := t.Targets(Targets(t.Space(), kind)...)
	if err != nil {
		return nil, fmt.Errorf("model: targets of a model of kind %q: %w", kind, err)
	}
	if y == nil {
		return nil, fmt.Errorf("model: no row; needed: 1 or more")
	}
	if kind.measured() {
		deriveServiceDelays(t, y)
		lendServiceDelays(t.Space(), y)
	}
	if kind == Tails {
		failedShares(t, y)
	}
	return y, nil
}

// Learn fits a system model to trace t.
func Learn(ctx context.Context, t *trace.Table, cfg Config) (Learned, error) {
	y, err := TargetValues(t, cfg.Kind)
	if err != nil {
		return nil, err
	}
	if cfg.Forest.Trees == 0 {
		cfg.Forest.Trees = 120
	}
	if !(cfg.Median >= 0 && cfg.Median <= 1) {
		return nil, fmt.Errorf("model: learn: Median is %v; a weight is in [0, 1]", cfg.Median)
	}
	if cfg.Structure == NodeInputs {
		if cfg.Kind != Measured {
			return nil, fmt.Errorf("model: learn: a model of structure %q must be of kind %q, not %q", NodeInputs, Measured, cfg.Kind)
		}
		if cfg.Median != 0 {
			return nil, fmt.Errorf("model: learn: Median is %v; a model of structure %q has means only", cfg.Median, NodeInputs)
		}
		return learnPerNode(ctx, t, y, cfg.Forest)
	}
	return learnJoint(ctx, t, y, cfg)
}

// deriveServiceDelays fills d_i in y, whose columns are Targets, where a trace
// has the endpoints' delays only, as the published one: over the stages the sum
// of the slowest call's mean, which is weighted by the routing weights; missing
// when the delay of an endpoint that requests go to is.
func deriveServiceDelays(t *trace.Table, y *mat.Dense) {
	space := t.Space()
	l := space.Layout()
	first := len(l.Endpoints)
	for r := range t.Len() {
		row := t.Row(r)
		for i := range space.Mesh().M() {
			if !math.IsNaN(y.At(r, first+i)) {
				continue
			}
			if space.BlockOf(row.Action, i) == 1 {
				continue
			}
			d := pathMean(space, row.Action, i, y.RawRowView(r))
			y.Set(r, first+i, d)
		}
	}
}

// lendServiceDelays fills d_ij in y, whose columns are Targets, where a trace does
// not say which node answered: the delay of a service that makes one call is then
// taken for that of each node of the call, whichever it was.
func lendServiceDelays(space *mesh.Space, y *mat.Dense) {
	l := space.Layout()
	rows, _ := y.Dims()
	for c, call := range l.Calls {
		first, end := l.Of(c)
		stages := l.Stages[call.Service]
		if len(stages) > 1 || len(stages[0]) > 1 || anyMeasured(y, first, end) {
			continue
		}
		for r := range rows {
			for e := first; e < end; e++ {
				y.Set(r, e, y.At(r, len(l.Endpoints)+call.Service))
			}
		}
	}
}

// anyMeasured reports whether columns first to before end of y have a value.
func anyMeasured(y *mat.Dense, first, end int) bool {
	rows, _ := y.Dims()
	for r := range rows {
		for e := first; e < end; e++ {
			if !math.IsNaN(y.At(r, e)) {
				return true
			}
		}
	}
	return false
}

// failedShares turns the counts of failed requests in y, whose columns are
// Targets of Tails, into shares of those that were let through.
func failedShares(t *trace.Table, y *mat.Dense) {
	_, columns := y.Dims()
	m := t.Space().Mesh().M()
	for r := range t.Len() {
		x := t.Row(r).Measurement
		for i := range m {
			share := math.NaN()
			if n := x.Failed[i] + x.Service[i].Count; n > 0 {
				share = x.Failed[i] / n
			}
			y.Set(r, columns-tails*(m-i)+tails-1, share)
		}
	}
}

// pathMean is the mean delay of service i's path given those of the endpoints,
// which delays begins with: over the stages the sum of the slowest call's mean. It
// is missing where that of an endpoint that requests go to is.
func pathMean(space *mesh.Space, a mesh.Action, i int, delays []float64) float64 {
	l := space.Layout()
	d := 0.0
	for _, stage := range l.Stages[i] {
		slowest := 0.0
		for _, c := range stage {
			slowest = math.Max(slowest, callMean(delays, space.RouteOf(a, c), l.Calls[c].First)) // keeps NaN
		}
		d += slowest
	}
	return d
}

// put writes targets y at a load and an action to x; a step lasts seconds.
func put(x *mesh.Measurement, y []float64, space *mesh.Space, kind Kind, load mesh.Load, a mesh.Action, seconds float64) {
	l := space.Layout()
	n := len(l.Endpoints)
	for e := range n {
		x.Endpoint[e].Mean = y[e]
	}
	m := space.Mesh().M()
	for i := range m {
		x.Service[i].Mean, x.Carried[i] = service(y, space, kind, load, a, i)
		if kind == Tails {
			tail := y[n+2*m+tails*i:]
			x.Service[i].P50, x.Service[i].P95, x.Service[i].P99 = tail[0], tail[1], tail[2]
			sent := x.Carried[i] * seconds
			x.Failed[i], x.Service[i].Count = tail[3]*sent, (1-tail[3])*sent
		}
	}
}

// service is what targets y say of service i: its mean response time and what is
// carried.
func service(y []float64, space *mesh.Space, kind Kind, load mesh.Load, a mesh.Action, i int) (delay, carried float64) {
	if kind.measured() {
		n := len(space.Layout().Endpoints)
		return y[n+i], y[n+space.Mesh().M()+i]
	}
	return pathMean(space, a, i, y), load[i] * (1 - space.BlockOf(a, i))
}

// unreached marks as missing what no request gives, and carries nothing that was
// not let through.
func unreached(y []float64, space *mesh.Space, load mesh.Load, a mesh.Action) {
	n, m := len(space.Layout().Endpoints), space.Mesh().M()
	for e := range n {
		if !space.Reaches(load, a, e) {
			y[e] = math.NaN()
		}
	}
	for i := range m {
		if load[i] == 0 || space.BlockOf(a, i) == 1 {
			y[n+i] = math.NaN()
			y[n+m+i] = 0
			if len(y) > n+2*m {
				tail := y[n+2*m+tails*i:]
				tail[0], tail[1], tail[2], tail[3] = math.NaN(), math.NaN(), math.NaN(), 0
			}
		}
	}
}

// checkLoad reports a load that a model of the space cannot be asked about.
func checkLoad(space *mesh.Space, load mesh.Load) error {
	m := space.Mesh()
	if len(load) != m.M() {
		return fmt.Errorf("model: %d loads for the %d services of %s", len(load), m.M(), m)
	}
	for i, l := range load {
		if !(l >= 0) || math.IsInf(l, 1) {
			return fmt.Errorf("model: load %s is %v req/s; accepted: a finite number >= 0", m.LoadName(i), l)
		}
	}
	return nil
}
