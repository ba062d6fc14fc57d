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

// Tally collects the requests of one step and summarises them. The zero value
// is not usable; make one with NewTally and Reset it for each step.
type Tally struct {
	mesh      mesh.Mesh
	generated []int
	blocked   []int
	failed    []int
	delays    [][]float64 // per (service, node), s; the last column holds replies of no known node
	all       []float64
	out       mesh.Measurement
}

// NewTally returns an empty tally for mesh m.
func NewTally(m mesh.Mesh) *Tally {
	return &Tally{
		mesh:      m,
		generated: make([]int, m.M()),
		blocked:   make([]int, m.M()),
		failed:    make([]int, m.M()),
		delays:    make([][]float64, m.M()*(m.N()+1)),
		out:       mesh.NewMeasurement(m),
	}
}

// Reset forgets all requests.
func (t *Tally) Reset() {
	clear(t.generated)
	clear(t.blocked)
	clear(t.failed)
	for k := range t.delays {
		t.delays[k] = t.delays[k][:0]
	}
}

// Add counts one request of service i. For an answered one, node j served it
// (-1 when the reply does not say) after delay s.
func (t *Tally) Add(i int, what Outcome, j int, delay float64) {
	t.generated[i]++
	switch what {
	case Blocked:
		t.blocked[i]++
	case Failed:
		t.failed[i]++
	default:
		n := t.mesh.N()
		if j < 0 || j > n {
			j = n
		}
		t.delays[i*(n+1)+j] = append(t.delays[i*(n+1)+j], delay)
	}
}

// Measurement summarises the requests of a step that lasted seconds. The
// result is valid until the next call.
func (t *Tally) Measurement(seconds float64) mesh.Measurement {
	n := t.mesh.N()
	x := &t.out
	x.Mark = ""
	for i := range t.generated {
		x.Generated[i] = float64(t.generated[i]) / seconds
		x.Carried[i] = float64(t.generated[i]-t.blocked[i]) / seconds
		x.Blocked[i] = float64(t.blocked[i])
		x.Failed[i] = float64(t.failed[i])
		t.all = t.all[:0]
		for j := range n + 1 {
			d := t.delays[i*(n+1)+j]
			t.all = append(t.all, d...)
			if j < n {
				x.Node[i*n+j] = summarise(d)
			}
		}
		x.Service[i] = summarise(t.all)
	}
	return *x
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
	return d[k] + (h-float64(k))*(d[k+1]-d[k])
}
