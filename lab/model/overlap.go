package model

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/trace"
)

// overlap says how much later than the slower of its calls, on average, a stage
// of calls in parallel ends: of some requests the one is slower, of others the
// other.
type overlap struct {
	forest *forest.Forest // the factor, from the slowest call's mean delay and the next one's share of it
	stages []int          // of the service, that make calls in parallel
}

// maxOverlap bounds the factor: of two calls alike it is at most 2.
const maxOverlap = 2

// learnOverlaps learns the factor of every service with calls in parallel from
// the delays of whole paths.
func (p *PerNode) learnOverlaps(ctx context.Context, t *trace.Table, y *mat.Dense, c forest.Config) error {
	l := p.layout
	calls := make([]float64, len(l.Calls))
	for i := range l.Stages {
		o := &overlap{}
		for k, stage := range l.Stages[i] {
			if len(stage) > 1 {
				o.stages = append(o.stages, k)
			}
		}
		if o.stages == nil {
			continue
		}
		var xs, ys []float64
		for r := range t.Len() {
			path := y.At(r, len(l.Endpoints)+i)
			for _, stage := range l.Stages[i] {
				for _, at := range stage {
					calls[at] = callMean(y.RawRowView(r), p.space.RouteOf(t.Row(r).Action, at), l.Calls[at].First)
				}
			}
			parallel, single := 0.0, 0.0
			for k, stage := range l.Stages[i] {
				slowest, _ := slowestOf(stage, calls)
				if slices.Contains(o.stages, k) {
					parallel += slowest
				} else {
					single += slowest
				}
			}
			factor := (path - single) / parallel
			if math.IsNaN(factor) || math.IsInf(factor, 0) {
				continue
			}
			in := o.inputs(l.Stages[i], calls)
			xs, ys = append(xs, in[:]...), append(ys, min(max(factor, 1), maxOverlap))
		}
		if len(ys) == 0 {
			return fmt.Errorf("model: learn the path of %s: no row has all of its delays; needed: 1 or more", p.space.Mesh().Services[i].Name)
		}
		c.FeatureNames, c.OutputNames = []string{"delay of the slowest call", "share of the next"}, []string{"factor of calls in parallel of " + p.space.Mesh().Services[i].Name}
		var err error
		if o.forest, err = forest.Fit(ctx, mat.NewDense(len(ys), 2, xs), column(ys), c); err != nil {
			return fmt.Errorf("model: learn the path of %s: %w", p.space.Mesh().Services[i].Name, err)
		}
		p.overlap[i] = o
	}
	return nil
}

// callMean is the mean delay of a call whose endpoints' delays begin at first.
func callMean(delays, shares []float64, first int) float64 {
	mean := 0.0
	for k, share := range shares {
		if share > 0 {
			mean += float64(share * delays[first+k])
		}
	}
	return mean
}

// slowestOf are the largest and the second largest of a stage's calls; NaN where
// one is missing.
func slowestOf(stage []int, calls []float64) (first, second float64) {
	for _, c := range stage {
		switch d := calls[c]; {
		case math.IsNaN(d):
			return d, d
		case d > first:
			first, second = d, first
		case d > second:
			second = d
		}
	}
	return first, second
}

// inputs are the sums over the stages with calls in parallel.
func (o *overlap) inputs(stages [][]int, calls []float64) [2]float64 {
	var first, second float64
	for _, k := range o.stages {
		a, b := slowestOf(stages[k], calls)
		first += a
		second += b
	}
	return [2]float64{first, second / first}
}

// factor is that of service i under the action that was set.
func (o *overlap) factor(f *outlook, i int) float64 {
	l := f.p.layout
	for _, k := range o.stages {
		for _, c := range l.Stages[i][k] {
			sum, requests := 0.0, 0.0
			first, end := l.Of(c)
			for e := first; e < end; e++ {
				if q := &f.parts[e]; q.cloud != nil {
					n := max(q.meanCount+q.more, 0) * q.share
					requests += n
					sum += float64(n * q.mean())
				}
			}
			f.calls[c] = sum / requests
		}
	}
	if f.two = o.inputs(l.Stages[i], f.calls); math.IsNaN(f.two[0]) || math.IsNaN(f.two[1]) {
		return 1 // no request goes there
	}
	return o.forest.Predict(f.one[:], f.two[:])[0]
}
