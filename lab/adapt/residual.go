package adapt

import (
	"math"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Residuals corrects a model by what rows of the present mesh say otherwise: each
// delay is multiplied by the mean ratio of measured and predicted in rows of a like
// load and action (Nadaraya and Watson), shrunk to 1 where there are few.
type Residuals struct {
	control.Model
	rows  []residual
	scale []float64 // of each input: loads, then the action's values
}

// residual is what a row says of a model.
type residual struct {
	input []float64
	log   []float64 // ln(measured/predicted) per endpoint; NaN where it is not known
}

const (
	// width of the kernel, in shares of an input's range.
	width = .2
	// prior is the weight of the model itself, in rows.
	prior = 3
)

// NewResiduals corrects m, which was told of factors of service times, by rows.
func (q *Monitor) NewResiduals(m control.Model, factor [][]float64, rows []Row) (*Residuals, error) {
	c := &Residuals{Model: m}
	space := q.space
	for i := range space.Mesh().M() {
		most := 1e-9
		for _, r := range rows {
			most = max(most, r.Load[i])
		}
		c.scale = append(c.scale, width*most)
	}
	for h := range space.Knobs() {
		k := &space.Knobs()[h]
		for v := range k.Columns {
			lo, hi := math.Inf(1), math.Inf(-1)
			for _, p := range k.Points {
				lo, hi = min(lo, p[v]), max(hi, p[v])
			}
			c.scale = append(c.scale, max(width*(hi-lo), 1e-9))
		}
	}
	endpoints := len(space.Layout().Endpoints)
	for _, r := range rows {
		if _, err := q.compare(m, factor, r); err != nil {
			return nil, err
		}
		q.mask()
		x := residual{input: inputs(nil, r.Load, r.Action)}
		for e := range endpoints {
			x.log = append(x.log, math.Log(q.measured[e]/q.predicted[e])-q.spread(e).mean)
		}
		c.rows = append(c.rows, x)
	}
	return c, nil
}

func inputs(dst []float64, l mesh.Load, a mesh.Action) []float64 {
	return append(append(dst[:0], l...), a...)
}

// At foresees a step.
func (c *Residuals) At(s mesh.State) (control.Forecast, error) {
	f, err := c.Model.At(s)
	if err != nil {
		return nil, err
	}
	return &corrected{Forecast: f, c: c, load: s.Load, factor: make([]float64, len(c.Space().Layout().Endpoints))}, nil
}

type corrected struct {
	control.Forecast
	c      *Residuals
	load   mesh.Load
	input  []float64
	action mesh.Action
	factor []float64 // per endpoint
}

func (f *corrected) Set(a mesh.Action) error {
	f.action = a
	f.input = inputs(f.input, f.load, a)
	for e := range f.factor {
		sum, weight := 0.0, float64(prior)
		for _, r := range f.c.rows {
			if math.IsNaN(r.log[e]) {
				continue
			}
			d := 0.0
			for k, v := range r.input {
				z := (v - f.input[k]) / f.c.scale[k]
				d += float64(z * z)
			}
			w := math.Exp(-d / 2)
			sum += float64(w * r.log[e])
			weight += w
		}
		f.factor[e] = math.Exp(sum / weight)
	}
	return f.Forecast.Set(a)
}

func (f *corrected) Mean(x *mesh.Measurement) {
	f.Forecast.Mean(x)
	f.correct(x)
}

func (f *corrected) Draw(k int, x *mesh.Measurement) {
	f.Forecast.Draw(k, x)
	f.correct(x)
}

// correct multiplies delays; that of a service by the mean of its endpoints,
// weighted by what is routed to them.
func (f *corrected) correct(x *mesh.Measurement) {
	space := f.c.Space()
	l := space.Layout()
	for e := range x.Endpoint {
		scaleDelay(&x.Endpoint[e], f.factor[e])
	}
	for i := range x.Service {
		log, calls := 0.0, 0.0
		for c, call := range l.Calls {
			if call.Service != i {
				continue
			}
			calls++
			for k, share := range space.RouteOf(f.action, c) {
				log += share * math.Log(f.factor[call.First+k])
			}
		}
		scaleDelay(&x.Service[i], math.Exp(log/calls))
	}
}

func scaleDelay(d *mesh.Delay, factor float64) {
	for _, v := range []*float64{&d.Mean, &d.P50, &d.P95, &d.P99} {
		*v *= factor
	}
}
