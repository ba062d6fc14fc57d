package adapt

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
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

const (
	// leastDelaySD and leastBusySD keep quantities that hardly vary from being alarms
	// by themselves.
	leastDelaySD, leastBusySD = .1, .05
	// unknownSD is that of an endpoint that was hardly seen while nothing changed.
	unknownSD = .5
	// levels of predicted delays are told apart, of perLevel steps or more each.
	levels, perLevel = 8, 40
)

// spread is that of log ratios: median and quartiles, since overloads are in the
// tails.
type spread struct{ mean, sd float64 }

func spreadOf(v []float64) spread {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return spread{v[n/2], (v[3*n/4] - v[n/4]) / 1.349}
}

// byLevel is the spread of a delay by the logarithm of what is predicted, ascending.
// The zero value is that of an endpoint that was hardly seen.
type byLevel struct {
	at []float64
	of []spread
}

// ratio is one of measured and predicted.
type ratio struct{ predicted, log, requests float64 }

func newByLevel(list []ratio) (u byLevel) {
	slices.SortFunc(list, func(a, b ratio) int { return cmp.Compare(a.predicted, b.predicted) })
	n := min(len(list)/perLevel, levels)
	for i := range n {
		some := list[i*len(list)/n : (i+1)*len(list)/n]
		at := math.Log(some[len(some)/2].predicted)
		if i > 0 && at <= u.at[len(u.at)-1] {
			continue
		}
		s := spreadOf(logs(some))
		u.at, u.of = append(u.at, at), append(u.of, spread{s.mean, max(s.sd, leastDelaySD)})
	}
	return u
}

func logs(list []ratio) (v []float64) {
	for _, r := range list {
		v = append(v, r.log)
	}
	return v
}

// in is the spread between the levels next to a logarithm.
func (u byLevel) in(log float64) spread {
	k, _ := slices.BinarySearch(u.at, log)
	switch {
	case len(u.at) == 0:
		return spread{0, unknownSD}
	case k == 0 || math.IsNaN(log):
		return u.of[0]
	case k == len(u.at):
		return u.of[k-1]
	}
	a, b, w := u.of[k-1], u.of[k], (log-u.at[k-1])/(u.at[k]-u.at[k-1])
	return spread{a.mean + float64(w*(b.mean-a.mean)), a.sd + float64(w*(b.sd-a.sd))}
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
	l := m.Space().Layout()
	if c.Work != nil && len(c.Work) != len(l.Microservices) {
		return nil, fmt.Errorf("adapt: work of %d microservices; the mesh has %d", len(c.Work), len(l.Microservices))
	}
	if len(c.Overloaded) != m.Space().Mesh().M() {
		return nil, fmt.Errorf("adapt: overload of %d services; the mesh has %d", len(c.Overloaded), m.Space().Mesh().M())
	}
	q := &Monitor{space: m.Space(), overloaded: c.Overloaded, work: c.Work, seconds: c.Seconds, chart: anr.CUSUM{Clip: clip}, x: mesh.NewMeasurement(l)}
	said := 0
	// ratios are those of each quantity, in steps that say something of it.
	ratios := func() ([][]ratio, error) {
		said = 0
		q.Reset()
		list := make([][]ratio, q.channels())
		for _, r := range rows {
			ok, err := q.compare(m, nil, r)
			if err != nil {
				return nil, err
			}
			if ok {
				said++
			}
			q.mask()
			for k, v := range q.measured {
				if x := (ratio{q.predicted[k], math.Log(v / q.predicted[k]), q.requests[k]}); !math.IsNaN(x.log) && !math.IsInf(x.log, 0) {
					list[k] = append(list[k], x)
				}
			}
		}
		return list, nil
	}
	seen, err := ratios()
	if err != nil {
		return nil, err
	}
	for e := range l.Endpoints {
		q.usual = append(q.usual, newByLevel(seen[e]))
	}
	if c.Work != nil {
		// What a request keeps a node busy for first, then how much that varies.
		effort := slices.Repeat([]spread{{0, unknownSD * math.Sqrt(perLevel)}}, l.Mesh.N())
		for j := range effort {
			if list := seen[q.firstBusy()+j]; len(list) >= perLevel {
				effort[j].mean = spreadOf(logs(list)).mean
			}
		}
		q.effort = effort
		if seen, err = ratios(); err != nil {
			return nil, err
		}
		for j := range effort {
			if list := seen[q.firstBusy()+j]; len(list) >= perLevel {
				for k := range list {
					list[k].log *= math.Sqrt(list[k].requests)
				}
				effort[j].sd = spreadOf(logs(list)).sd
			}
		}
	}
	z, shift, n := make([][]float64, len(rows)), make([]float64, q.channels()), make([]float64, q.channels())
	q.Reset()
	for t, r := range rows {
		if _, err := q.compare(m, nil, r); err != nil {
			return nil, err
		}
		q.mask()
		z[t] = q.standardised()
		for k, v := range z[t] {
			if !math.IsNaN(v) {
				n[k]++
				shift[k] += (math.Log(c.Factor)/q.spread(k).sd - shift[k]) / n[k]
			}
		}
	}
	if err := q.chart.Design(z, shift, c.Steps); err != nil {
		return nil, fmt.Errorf("adapt: %w; %d of %d steps of the unchanged mesh say something", err, said, len(rows))
	}
	q.Reset()
	return q, nil
}

// Healthy makes steps under p of a system to which nothing happens, to calibrate a
// Monitor on: runs of so many steps each, one for each seed.
func Healthy(ctx context.Context, env *control.Env, p policy.Policy, steps int, seeds ...uint64) ([]Row, error) {
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
			rows = append(rows, newRow(x, env.Space(), before))
			s = x.Next
		}
	}
	return rows, nil
}
