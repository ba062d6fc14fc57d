package adapt

import (
	"context"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
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
	// Even says of each node that its queue was about as long at the end of the step as
	// at its beginning, so that what it served is what came to it: its delays are
	// those of the step before to within a fifth of a step.
	Even []bool

	delay []float64 // mean of each node's calls, s; 0 without any
}

// newRow keeps a step that followed the one of before, nil for the first; steps
// are of so many s.
func newRow(x control.Step, space *mesh.Space, before *Row, seconds float64) Row {
	r := Row{T: x.T, Load: append(mesh.Load(nil), x.Load...), Action: x.Action.Clone(), Measurement: x.Measurement.Clone(), Reward: x.Reward, Settled: true}
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Slow() && x.Next.InForce != nil {
			for n, v := range k.Values(x.Next.InForce) {
				r.Settled = r.Settled && v == k.Values(x.Action)[n]
			}
		}
	}
	count := make([]float64, space.Mesh().N())
	r.delay, r.Even = make([]float64, len(count)), make([]bool, len(count))
	for e, at := range space.Layout().Endpoints {
		if y := r.Measurement.Endpoint[e]; y.Count > 0 {
			count[at.Node] += y.Count
			r.delay[at.Node] += y.Count * y.Mean
		}
	}
	for j, n := range count {
		if n == 0 {
			continue
		}
		r.delay[j] /= n
		r.Even[j] = before != nil && math.Abs(r.delay[j]-before.delay[j]) < .2*seconds
	}
	return r
}

// Monitor tells whether a mesh still is as a model says. It watches the mean delay
// of every endpoint, the share of every service's requests that fails, and the time
// that every node works for a request, which is known under any load where the
// testbed measures how busy nodes are (utilisation law). Of delays steps that say
// nothing are left out: those in the middle of which a knob came into
// force, and those in which, or in the two before which, the model has a service
// overloaded, so that a queue is left over that no model of single steps knows of.
type Monitor struct {
	space *mesh.Space
	// overloaded are the predicted delays from which on a service is, s.
	overloaded []float64
	work       []float64 // of each microservice at speed 1, s
	seconds    float64   // that are measured of a step
	drift      anr.Drift
	after      int // steps for which what an overload left over may last

	measured, predicted []float64
	reliable            int // how many of the first quantities say something
	x                   mesh.Measurement
}

const (
	// fewest answered requests make a delay.
	fewest = 3
	// failures weighs the share of failed requests: its channel is 1 + failures share.
	failures = 20
	// leastDelaySD and leastFailedSD keep quantities that hardly vary from being
	// alarms by themselves.
	leastDelaySD, leastFailedSD, leastBusySD = .1, .5, .05
	// leftOver are the steps for which the queues of an overload are taken to last.
	leftOver = 2
	// unknownSD is that of an endpoint that was hardly seen while nothing changed.
	unknownSD = .5
)

// Calibration is how a Monitor is made.
type Calibration struct {
	// Overloaded are the predicted mean delays from which on a service counts as
	// overloaded, s.
	Overloaded []float64
	// Work is about what a request of each microservice keeps a node of speed 1 busy
	// for, s. Default none: how busy nodes are is not looked at.
	Work []float64
	// Seconds are those that are measured of a step. Default 5.
	Seconds float64
	// Steps is how many steps there are on average until chance raises an alarm.
	// Default 50,000.
	Steps float64
	// Factor is how many times slower a mesh is found soonest. Default 1.6.
	Factor float64
}

// NewMonitor calibrates a monitor on steps of the unchanged mesh, in their order,
// made under the policy that is to be watched, by the model m that is compared
// with.
func NewMonitor(m control.Model, rows []Row, c Calibration) (*Monitor, error) {
	if c.Steps == 0 {
		c.Steps = 50_000
	}
	if c.Factor == 0 {
		c.Factor = 1.6
	}
	if c.Seconds == 0 {
		c.Seconds = 5
	}
	if c.Work != nil && len(c.Work) != len(m.Space().Layout().Microservices) {
		return nil, fmt.Errorf("adapt: work of %d microservices; the mesh has %d", len(c.Work), len(m.Space().Layout().Microservices))
	}
	if len(c.Overloaded) != m.Space().Mesh().M() {
		return nil, fmt.Errorf("adapt: overload of %d services; the mesh has %d", len(c.Overloaded), m.Space().Mesh().M())
	}
	q := &Monitor{space: m.Space(), overloaded: c.Overloaded, work: c.Work, seconds: c.Seconds, x: mesh.NewMeasurement(m.Space().Layout())}
	var measured, predicted [][]float64
	for _, r := range rows {
		if ok, err := q.compare(m, nil, r); err != nil {
			return nil, err
		} else if ok {
			q.mask()
			measured, predicted = append(measured, append([]float64(nil), q.measured...)), append(predicted, append([]float64(nil), q.predicted...))
		}
	}
	endpoints := len(q.space.Layout().Endpoints)
	for k := range q.channels() {
		least := leastDelaySD
		if k >= endpoints {
			least = leastFailedSD
		}
		if k >= endpoints+q.space.Mesh().M() {
			least = leastBusySD
		}
		mean, sd := 0.0, unknownSD
		if d, err := anr.CalibrateDrift(column(measured, k), column(predicted, k)); err == nil {
			mean, sd = d.Mean[0], d.SD[0]
		}
		q.drift.Mean, q.drift.SD = append(q.drift.Mean, mean), append(q.drift.SD, max(sd, least))
	}
	if err := q.drift.Design(measured, predicted, c.Steps, math.Log(c.Factor)); err != nil {
		return nil, fmt.Errorf("adapt: %w; %d of %d steps of the unchanged mesh say something", err, len(measured), len(rows))
	}
	q.Reset()
	return q, nil
}

func column(v [][]float64, k int) [][]float64 {
	out := make([][]float64, len(v))
	for r := range v {
		out[r] = v[r][k : k+1]
	}
	return out
}

// Clone returns a monitor of the same calibration.
func (q *Monitor) Clone() *Monitor {
	c := *q
	c.drift.Reset()
	c.measured, c.predicted, c.x, c.after = nil, nil, mesh.NewMeasurement(q.space.Layout()), 0
	return &c
}

// Reset forgets the steps so far.
func (q *Monitor) Reset() {
	q.drift.Reset()
	q.after = 0
}

// channels is the number of quantities that are watched.
func (q *Monitor) channels() int {
	n := len(q.space.Layout().Endpoints) + q.space.Mesh().M()
	if q.work != nil {
		n += q.space.Mesh().N()
	}
	return n
}

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
// says whether the row says something. factor is that of service times which m was
// told of, nil for none.
func (q *Monitor) compare(m control.Model, factor [][]float64, r Row) (ok bool, err error) {
	if err := q.predict(m, r); err != nil {
		return false, err
	}
	if q.after > 0 {
		q.after--
	}
	delays := r.Settled && q.after == 0
	for i, limit := range q.overloaded {
		if q.x.Service[i].Mean > limit {
			q.after, delays = leftOver+1, false
		}
	}
	q.measured, q.predicted = q.measured[:0], q.predicted[:0]
	for e := range q.x.Endpoint {
		d := math.NaN()
		if y := r.Measurement.Endpoint[e]; y.Count >= fewest {
			d = y.Mean
		}
		q.measured, q.predicted = append(q.measured, d), append(q.predicted, q.x.Endpoint[e].Mean)
	}
	for i := range q.x.Failed {
		q.measured, q.predicted = append(q.measured, failedChannel(r.Measurement, i)), append(q.predicted, failedChannel(q.x, i))
	}
	q.reliable = len(q.measured)
	if !delays {
		q.reliable = 0
	}
	ok = delays
	if q.work != nil {
		for j := range q.space.Mesh().N() {
			v := q.worked(factor, r, j)
			ok = ok || !math.IsNaN(v)
			q.measured, q.predicted = append(q.measured, r.Measurement.Busy[j]), append(q.predicted, v)
		}
	}
	return ok, nil
}

// worked is how many servers of node j the requests that it answered in a row must
// have kept busy; NaN where that cannot be told.
func (q *Monitor) worked(factor [][]float64, r Row, j int) float64 {
	if !r.Even[j] {
		return math.NaN()
	}
	l := q.space.Layout()
	sum, n := 0.0, 0.0
	for e, at := range l.Endpoints {
		if y := r.Measurement.Endpoint[e]; at.Node == j && y.Count > 0 {
			u := l.Calls[at.Call].Microservice
			work := y.Count * q.work[u]
			if factor != nil {
				work *= factor[j][u]
			}
			sum += work
			n += y.Count
		}
	}
	if n < fewest || math.IsInf(sum, 1) {
		return math.NaN()
	}
	return sum / (q.seconds * l.Mesh.Speed(j) * q.space.Value(r.Action, mesh.CPU, j, 1))
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
	return q.drift.Add(q.measured, q.predicted), ok, nil
}

// mask leaves out what a step says nothing of, whose sums stay as they are.
func (q *Monitor) mask() {
	if q.reliable > 0 {
		return
	}
	for k := range len(q.space.Layout().Endpoints) + q.space.Mesh().M() {
		q.measured[k] = math.NaN()
	}
}

// Healthy makes steps of so many s under p of a system to which nothing happens, to
// calibrate a Monitor on: runs of so many steps each, one for each seed.
func Healthy(ctx context.Context, env *control.Env, p policy.Policy, steps int, seconds float64, seeds ...uint64) ([]Row, error) {
	var rows []Row
	for _, seed := range seeds {
		s, err := env.Reset(ctx, seed)
		if err != nil {
			return nil, fmt.Errorf("adapt: healthy run: %w", err)
		}
		p.Reset(seed)
		for t := range steps {
			a, err := p.Act(s)
			if err != nil {
				return nil, fmt.Errorf("adapt: healthy run: %w", err)
			}
			x, err := env.Step(ctx, a)
			if err != nil {
				return nil, fmt.Errorf("adapt: healthy run: %w", err)
			}
			var before *Row
			if t > 0 {
				before = &rows[len(rows)-1]
			}
			rows = append(rows, newRow(x, env.Space(), before, seconds))
			s = x.Next
		}
	}
	return rows, nil
}

// Describe says what the monitor was calibrated to.
func (q *Monitor) Describe() string {
	text := fmt.Sprintf("threshold %.1f, slack %.2f", q.drift.Threshold, q.drift.Slack)
	for k, m := range q.drift.Mean {
		text += fmt.Sprintf("; %s: ln ratio %.3f, sd %.3f", q.Name(k), m, q.drift.SD[k])
	}
	return text
}
