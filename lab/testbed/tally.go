package testbed

import (
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Outcome is what became of a request.
type Outcome uint8

const (
	Answered Outcome = iota // a good reply came
	Blocked                 // turned away at the front
	Failed                  // let through, but no good answer: queue full, error, time-out
)

// Call is an answered call of a request.
type Call struct {
	Endpoint int     // of the layout; -1 when it is not known which
	Delay    float64 // s
}

// Tally collects the requests of one step and summarises them. The zero value
// is not usable; make one with NewTally and Reset it for each step.
type Tally struct {
	layout    *mesh.Layout
	goals     []float64 // s, per service; nil where there are none
	generated []int
	blocked   []int
	failed    []int
	service   [][]float64 // delays, s; where only is not -1, those of which the endpoint is not known
	endpoint  [][]float64
	only      []int // the call of a service that makes no other, else -1
	all       []float64
	out       mesh.Measurement
}

// NewTally returns an empty tally for the mesh of that layout. It counts the requests
// that are later than their service's goal, s, where goals is not nil.
func NewTally(l *mesh.Layout, goals []float64) *Tally {
	m := l.Mesh.M()
	t := &Tally{
		layout:    l,
		goals:     goals,
		generated: make([]int, m),
		blocked:   make([]int, m),
		failed:    make([]int, m),
		service:   make([][]float64, m),
		endpoint:  make([][]float64, len(l.Endpoints)),
		out:       mesh.NewMeasurement(l),
	}
	for _, stages := range l.Stages {
		only := -1
		if len(stages) == 1 && len(stages[0]) == 1 {
			only = stages[0][0]
		}
		t.only = append(t.only, only)
	}
	return t
}

// Reset forgets all requests.
func (t *Tally) Reset() {
	clear(t.generated)
	clear(t.blocked)
	clear(t.failed)
	for _, list := range [][][]float64{t.service, t.endpoint} {
		for k := range list {
			list[k] = list[k][:0]
		}
	}
}

// Add counts one request of service i, its end-to-end delay in s where it was
// answered, and the calls that were answered, also of a request that failed
// later on its way. The one call of a service that makes no other is the
// request: it takes as long, and fails with it. calls is only read.
func (t *Tally) Add(i int, what Outcome, delay float64, calls []Call) {
	t.generated[i]++
	switch what {
	case Blocked:
		t.blocked[i]++
	case Failed:
		t.failed[i]++
	}
	if t.only[i] >= 0 {
		switch {
		case what != Answered:
		case len(calls) == 1 && t.known(calls[0]):
			e := calls[0].Endpoint
			t.endpoint[e] = append(t.endpoint[e], delay)
		default:
			t.service[i] = append(t.service[i], delay)
		}
		return
	}
	if what == Answered {
		t.service[i] = append(t.service[i], delay)
	}
	for _, c := range calls {
		if t.known(c) {
			t.endpoint[c.Endpoint] = append(t.endpoint[c.Endpoint], c.Delay)
		}
	}
}

func (t *Tally) known(c Call) bool { return c.Endpoint >= 0 && c.Endpoint < len(t.endpoint) }

// Measurement summarises the requests of a step that lasted seconds. The
// result is valid until the next call.
func (t *Tally) Measurement(seconds float64) mesh.Measurement {
	x := &t.out
	x.Mark = ""
	for e, d := range t.endpoint {
		x.Endpoint[e] = summarise(d)
	}
	for i := range t.generated {
		x.Generated[i] = float64(t.generated[i]) / seconds
		x.Carried[i] = float64(t.generated[i]-t.blocked[i]) / seconds
		x.Blocked[i] = float64(t.blocked[i])
		x.Failed[i] = float64(t.failed[i])
		t.all = t.all[:0]
		if c := t.only[i]; c >= 0 {
			first, end := t.layout.Of(c)
			for _, d := range t.endpoint[first:end] {
				t.all = append(t.all, d...) // sorted, which makes the sorting of all faster
			}
		}
		t.all = append(t.all, t.service[i]...)
		x.Service[i] = summarise(t.all)
		if t.goals != nil {
			x.Late[i] = float64(late(t.all, t.goals[i]))
		}
	}
	return *x
}

// late is how many of sorted d are above a goal.
func late(d []float64, goal float64) int {
	n, _ := slices.BinarySearchFunc(d, goal, func(v, goal float64) int {
		if v <= goal {
			return -1
		}
		return 1
	})
	return len(d) - n
}

// summarise sorts d and returns its mean and percentiles.
func summarise(d []float64) mesh.Delay {
	if len(d) == 0 {
		return mesh.NoDelay()
	}
	slices.Sort(d)
	sum := 0.0
	for _, v := range d {
		sum += v
	}
	return mesh.Delay{
		Count: float64(len(d)),
		Mean:  sum / float64(len(d)),
		P50:   quantile(d, .50),
		P95:   quantile(d, .95),
		P99:   quantile(d, .99),
	}
}

// quantile interpolates linearly between the order statistics of sorted d, as
// NumPy's default does.
func quantile(d []float64, q float64) float64 {
	h := q * float64(len(d)-1)
	k := int(math.Floor(h))
	if k+1 == len(d) {
		return d[k]
	}
	return d[k] + float64((h-float64(k))*(d[k+1]-d[k]))
}
