package adapt

import (
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Row is a control step as it is kept.
type Row struct {
	T           int
	Load        mesh.Load
	Action      mesh.Action // in force
	Measurement mesh.Measurement
	Reward      float64
	// Settled says that no knob came into force in the middle of the step.
	Settled bool
	// Longer is by how much longer the mean delay of each node's calls was than in the
	// step before, s: what its queue has grown by. NaN where either had none.
	Longer []float64

	delay []float64 // mean of each node's calls, s; NaN without any
}

// newRow keeps a step that followed the one of before, nil for the first.
func newRow(x control.Step, space *mesh.Space, before *Row) Row {
	r := Row{T: x.T, Load: append(mesh.Load(nil), x.Load...), Action: x.Action.Clone(), Measurement: x.Measurement.Clone(), Reward: x.Reward, Settled: true}
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Slow() && x.Next.InForce != nil {
			for n, v := range k.Values(x.Next.InForce) {
				r.Settled = r.Settled && v == k.Values(x.Action)[n]
			}
		}
	}
	count := make([]float64, space.Mesh().N())
	r.delay, r.Longer = make([]float64, len(count)), make([]float64, len(count))
	for e, at := range space.Layout().Endpoints {
		if y := r.Measurement.Endpoint[e]; y.Count > 0 {
			count[at.Node] += y.Count
			r.delay[at.Node] += y.Count * y.Mean
		}
	}
	for j, n := range count {
		r.delay[j] /= n // NaN without any
		r.Longer[j] = math.NaN()
		if before != nil {
			r.Longer[j] = r.delay[j] - before.delay[j]
		}
	}
	return r
}

// Monitor tells whether a mesh still is as a model says. It watches the mean delay
// of every endpoint, the share of every service's requests that fails, and the time
// that every node works for a request, which is known under any load where the
// testbed measures how busy nodes are (utilisation law). Of delays steps that say
// nothing are left out: those in the middle of which a knob came into
// force, and those in which, or in the two before which, the model has a service
// overloaded, so that a queue is left over that no model of single steps knows of;
// and of a node those in which, or before which, it is nearly always busy, since
// such queues take longer than a step to settle.
//
// Each is the log ratio of measured and predicted, less its mean and over its
// standard deviation while nothing changes: of a delay these depend on how long a
// delay is predicted, since delays of a busy node vary more; the deviation of work
// falls with the root of the number of requests, as that of any mean. What is left
// is watched by an anr.CUSUM.
type Monitor struct {
	space *mesh.Space
	// overloaded are the predicted delays from which on a service is, s.
	overloaded []float64
	work       []float64 // of each microservice at speed 1, s
	seconds    float64   // that are measured of a step
	usual      []byLevel // per endpoint
	effort     []spread  // per node, of one request
	chart      anr.CUSUM
	after      int    // steps for which what an overload left over may last
	busy       []bool // whether each node was nearly always, in the last step
	unsettled  []bool // in it or the one before

	measured, predicted, requests []float64
	reliable                      bool // whether delays and failures say something
	x                             mesh.Measurement
}

const (
	// fewest answered requests make a delay.
	fewest = 3
	// failures weighs the share of failed requests: its channel is 1 + failures share,
	// and its standard deviation failedSD, since there are hardly any.
	failures, failedSD = 20, .5
	// full is the share of its servers from which on a node counts as always busy.
	full = .8
	// leftOver are the steps for which the queues of an overload are taken to last.
	leftOver = 2
	// clip bounds a standardised ratio.
	clip = 5
)

// Clone returns a monitor of the same calibration.
func (q *Monitor) Clone() *Monitor {
	c := *q
	c.Reset()
	c.measured, c.predicted, c.requests, c.x = nil, nil, nil, mesh.NewMeasurement(q.space.Layout())
	return &c
}

// Reset forgets the steps so far.
func (q *Monitor) Reset() {
	q.chart.Reset()
	q.after, q.busy, q.unsettled = 0, make([]bool, q.space.Mesh().N()), make([]bool, q.space.Mesh().N())
}

// channels is the number of quantities that are watched.
func (q *Monitor) channels() int {
	n := q.firstBusy()
	if q.work != nil {
		n += q.space.Mesh().N()
	}
	return n
}

// firstBusy is the number of the first node's work among them: delays of endpoints
// and failures of services are before it.
func (q *Monitor) firstBusy() int { return len(q.space.Layout().Endpoints) + q.space.Mesh().M() }

// Name says what quantity k is.
func (q *Monitor) Name(k int) string {
	l := q.space.Layout()
	if k < len(l.Endpoints) {
		at := l.Endpoints[k]
		return "delay of " + l.Microservices[l.Calls[at.Call].Microservice] + " on " + l.Mesh.Nodes[at.Node].Name
	}
	if k -= len(l.Endpoints); k < l.Mesh.M() {
		return "failed requests of " + l.Mesh.Services[k].Name
	}
	return "work of a request on " + l.Mesh.Nodes[k-l.Mesh.M()].Name
}

// predict writes what m says of a row to q.x.
func (q *Monitor) predict(m control.Model, r Row) error {
	f, err := m.At(mesh.State{Load: r.Load})
	if err != nil {
		return fmt.Errorf("adapt: step %d: %w", r.T, err)
	}
	if err := f.Set(r.Action); err != nil {
		return fmt.Errorf("adapt: step %d: %w", r.T, err)
	}
	for i := range q.x.Failed { // what a model does not know is no failure
		q.x.Failed[i], q.x.Service[i].Count = 0, 1
	}
	f.Mean(&q.x)
	return nil
}

// compare fills measured and predicted, NaN where there is nothing to compare, and
// requests, and says whether the row says something. factor is that of service times
// which m was told of, nil for none.
func (q *Monitor) compare(m control.Model, factor [][]float64, r Row) (ok bool, err error) {
	if err := q.predict(m, r); err != nil {
		return false, err
	}
	if q.after > 0 {
		q.after--
	}
	q.reliable = r.Settled && q.after == 0
	for i, limit := range q.overloaded {
		if q.x.Service[i].Mean > limit {
			q.after, q.reliable = leftOver+1, false
		}
	}
	q.measured, q.predicted, q.requests = q.measured[:0], q.predicted[:0], q.requests[:0]
	add := func(measured, predicted, requests float64) {
		q.measured, q.predicted, q.requests = append(q.measured, measured), append(q.predicted, predicted), append(q.requests, requests)
	}
	for e := range q.x.Endpoint {
		d, y := math.NaN(), r.Measurement.Endpoint[e]
		if y.Count >= fewest {
			d = y.Mean
		}
		add(d, q.x.Endpoint[e].Mean, y.Count)
	}
	for i := range q.x.Failed {
		add(failedChannel(r.Measurement, i), failedChannel(q.x, i), 1)
	}
	ok = q.reliable
	if q.work != nil {
		for j := range q.space.Mesh().N() {
			measured, predicted, requests := q.worked(factor, r, j)
			ok = ok || !math.IsNaN(measured)
			add(measured, predicted, requests)
			was := q.busy[j]
			q.busy[j] = predicted > full*q.space.Value(r.Action, mesh.Replicas, j, 1)
			q.unsettled[j] = was || q.busy[j]
		}
	}
	return ok, nil
}

// worked is how many servers of node j are to be busy for the requests that came in
// a row and were answered, and how many were. Where the queue grew, more came than
// was served: by what the delay grew from the middle of a step to the next one's, or
// twice as much where that began with the step. What is measured is therefore a range,
// of which the value that is nearest to what is predicted is taken; NaN where it
// cannot be told.
func (q *Monitor) worked(factor [][]float64, r Row, j int) (measured, predicted, requests float64) {
	l := q.space.Layout()
	for e, at := range l.Endpoints {
		if y := r.Measurement.Endpoint[e]; at.Node == j && y.Count > 0 {
			u := l.Calls[at.Call].Microservice
			work := y.Count * q.work[u]
			if factor != nil {
				work *= factor[j][u]
			}
			predicted += work
			requests += y.Count
		}
	}
	predicted /= q.seconds * l.Mesh.Speed(j) * q.space.Value(r.Action, mesh.CPU, j, 1)
	if requests < fewest || math.IsInf(predicted, 1) {
		return math.NaN(), math.NaN(), requests
	}
	if q.effort != nil { // a request may keep a node busy for another time than is said
		predicted *= math.Exp(q.effort[j].mean)
		grown := 2 * r.Longer[j] / q.seconds * q.space.Value(r.Action, mesh.Replicas, j, 1)
		a, b := r.Measurement.Busy[j], r.Measurement.Busy[j]+float64(grown) // NaN where not known
		return max(min(max(a, b), predicted), min(a, b)), predicted, requests
	}
	return r.Measurement.Busy[j], predicted, requests
}

func failedChannel(x mesh.Measurement, i int) float64 {
	n := x.Failed[i] + x.Service[i].Count
	if !(n > 0) {
		return math.NaN()
	}
	return 1 + failures*x.Failed[i]/n
}

// Add compares a step with what m, told of factors of service times, says of it, and
// returns the statistic, 1 or more for an alarm, and whether the step said something.
func (q *Monitor) Add(m control.Model, factor [][]float64, r Row) (statistic float64, ok bool, err error) {
	if ok, err = q.compare(m, factor, r); err != nil {
		return 0, false, err
	}
	q.mask()
	return q.chart.Add(q.standardised()), ok, nil
}

// mask leaves out what a step says nothing of, whose sums stay as they are.
func (q *Monitor) mask() {
	for k := range q.firstBusy() {
		if !q.reliable || k < len(q.usual) && q.unsettled[q.space.Layout().Endpoints[k].Node] {
			q.measured[k] = math.NaN()
		}
	}
}

// spread is that of the log ratio of quantity k, as last compared.
func (q *Monitor) spread(k int) spread {
	switch first := q.firstBusy(); {
	case k >= first: // its mean is in what is predicted
		return spread{0, max(q.effort[k-first].sd/math.Sqrt(q.requests[k]), leastBusySD)}
	case k >= len(q.usual):
		return spread{0, failedSD}
	}
	return q.usual[k].in(math.Log(q.predicted[k]))
}

// standardised are the log ratios as last compared, NaN where missing.
func (q *Monitor) standardised() []float64 {
	z := make([]float64, len(q.measured))
	for k := range z {
		z[k] = q.standardise(k, q.measured[k], q.predicted[k])
	}
	return z
}

func (q *Monitor) standardise(k int, measured, predicted float64) float64 {
	s := q.spread(k)
	return (math.Log(measured/predicted) - s.mean) / s.sd
}

// Describe says what the monitor was calibrated to.
func (q *Monitor) Describe() string {
	var parts []string
	for k := range q.channels() {
		spread := fmt.Sprintf("sd %.2f", failedSD)
		switch first := q.firstBusy(); {
		case k >= first:
			s := q.effort[k-first]
			spread = fmt.Sprintf("ln ratio %.3f, sd %.2f over the root of the requests", s.mean, s.sd)
		case k < len(q.usual) && len(q.usual[k].of) > 0:
			of := q.usual[k].of
			a, b := of[0], of[len(of)-1]
			spread = fmt.Sprintf("ln ratio %.3f, sd %.2f of short ones, %.3f, %.2f of long ones", a.mean, a.sd, b.mean, b.sd)
		case k < len(q.usual):
			spread = "hardly seen"
		}
		parts = append(parts, fmt.Sprintf("%s: %s, slack %.2f, threshold %.1f", q.Name(k), spread, q.chart.Slack[k], q.chart.Threshold[k]))
	}
	return strings.Join(parts, "; ")
}
