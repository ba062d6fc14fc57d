// Package stream merges the arrivals of all services into the requests of a
// run, in the order in which they are sent. A testbed and the simulation of it
// are offered the same requests.
package stream

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Request is one request of a step.
type Request struct {
	Service int
	At      float64 // time at which it is sent, s from the beginning of the step; +Inf when there is none
	Draw    uint64  // random: the item that is asked for is Draw modulo the number of items
}

// MaxRequests bounds the requests that a step may be expected to have: more
// than any of the testbeds serves.
const MaxRequests = 1_000_000

// Check reports a load that is none, or of which no testbed could make a step
// of that many s.
func Check(l mesh.Load, seconds float64) error {
	sum := 0.0
	for i, x := range l {
		if !(x >= 0) || math.IsInf(x, 1) {
			return fmt.Errorf("load %s is %v requests/s; accepted: a finite number >= 0", (mesh.Mesh{}).LoadName(i), x)
		}
		sum += x
	}
	// Arrivals are made for a chunk at a time, however short a step is.
	if n := sum * max(seconds, chunk); !(n <= MaxRequests) {
		return fmt.Errorf("a load of %.4g requests/s makes %.3g requests in %.4g s; accepted: at most %d in a step, so less load or a shorter step", sum, n, max(seconds, chunk), MaxRequests)
	}
	return nil
}

// chunk is how many seconds of arrivals are made at a time.
const chunk = 2

// chunks bounds the chunks of a step.
const chunks = 1 << 20

// Stream makes the requests of one step after the other, without end: a step
// lasts until the next one begins. It is a pure function of the seed, the step
// and its load.
type Stream struct {
	seed  uint64
	step  int
	load  mesh.Load
	at    [][]float64 // per service, the arrivals of the current chunk that are left
	buf   [][]float64
	chunk []int
	draw  *rand.Rand
	pcg   rand.PCG
}

// New returns the requests of a run of the given number of services.
func New(services int, seed uint64) *Stream {
	s := &Stream{seed: seed, load: make(mesh.Load, services),
		at: make([][]float64, services), buf: make([][]float64, services), chunk: make([]int, services)}
	s.draw = rand.New(&s.pcg)
	return s
}

// Begin starts a step with the given load.
func (s *Stream) Begin(step int, l mesh.Load) {
	s.step = step
	copy(s.load, l)
	for i := range s.at {
		s.at[i] = s.at[i][:0]
		s.chunk[i] = -1
	}
	s.pcg.Seed(s.seed^0x6b657973, uint64(step))
}

// Next returns the next request of the step.
func (s *Stream) Next() Request {
	first, at := 0, math.Inf(1)
	for i := range s.at {
		if t := s.head(i); t < at {
			first, at = i, t
		}
	}
	if math.IsInf(at, 1) {
		return Request{At: at}
	}
	s.at[first] = s.at[first][1:]
	return Request{Service: first, At: at, Draw: s.draw.Uint64()}
}

// head is the time of service i's next arrival. Chunks join to one Poisson
// process, since it has no memory.
func (s *Stream) head(i int) float64 {
	if s.load[i] == 0 {
		return math.Inf(1)
	}
	for len(s.at[i]) == 0 {
		s.chunk[i]++
		s.buf[i] = load.Arrivals(s.buf[i][:0], s.load[i], chunk, s.seed, s.step*chunks+s.chunk[i], i)
		s.at[i] = s.buf[i]
	}
	return float64(s.chunk[i])*chunk + s.at[i][0]
}
