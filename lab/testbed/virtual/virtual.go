// Package virtual is the testbed's mesh as a discrete-event simulation: Poisson
// arrivals, blocking and routing at the front, and processing nodes that serve
// both services first come, first served from a bounded queue, with the service
// times of the local testbed's items. It makes 45,343 steps in seconds and has
// a ground truth that can be computed as closely as wanted (Truth), so that it
// shows what a learned model loses. Its results are always labelled virtual.
package virtual

import (
	"context"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/service/split"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/testbed"
)

var (
	_ sim.System      = (*Testbed)(nil)
	_ testbed.Testbed = (*Testbed)(nil)
)

// Config describes the mesh. The zero value is the paper's, two services on
// two nodes, like the zero value of local.Config.
type Config struct {
	Mesh     mesh.Mesh
	Timing   testbed.Timing
	Kinds    []item.Kind // of each service's items; default item.Paper
	ItemSeed uint64      // of the items' sizes
	Queue    int         // requests that wait at a node, besides the one in service; default item.Queue
	Link     float64     // time of a request on the network, s; default item.Link, negative means none
}

// node is a first-come-first-served server. Under that discipline a request's
// departure is known when it arrives, so the queue is a list of departures.
type node struct {
	departures []float64 // of the requests in the node, ascending
}

// Testbed is the simulated mesh.
type Testbed struct {
	cfg       Config
	mesh      mesh.Mesh
	catalogue *item.Catalogue
	step      int
	now       float64 // simulated time, s
	nodes     []node
	block     []*split.Splitter
	route     []*split.Splitter
	requests  *stream.Stream
	tally     *testbed.Tally
}

// New returns a mesh with empty queues and seed 0.
func New(cfg Config) (*Testbed, error) {
	if err := cfg.Mesh.Validate(); err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	m, n := cfg.Mesh.M(), cfg.Mesh.N()
	cfg.Timing = cfg.Timing.Defaults()
	if cfg.Kinds == nil {
		cfg.Kinds = item.Paper(m)
	}
	if len(cfg.Kinds) != m {
		return nil, fmt.Errorf("virtual: %d kinds of items for %d services", len(cfg.Kinds), m)
	}
	if cfg.Queue == 0 {
		cfg.Queue = item.Queue
	}
	if cfg.Queue < 1 || !(cfg.Timing.Step > 0) {
		return nil, fmt.Errorf("virtual: queue of %d, step of %v s; both must be above 0", cfg.Queue, cfg.Timing.Step)
	}
	if cfg.Link == 0 {
		cfg.Link = item.Link
	}
	cfg.Link = max(cfg.Link, 0)
	catalogue, err := item.NewCatalogue(cfg.Kinds, cfg.ItemSeed)
	if err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	v := &Testbed{cfg: cfg, mesh: cfg.Mesh, catalogue: catalogue,
		nodes: make([]node, n), tally: testbed.NewTally(cfg.Mesh)}
	for range m {
		v.block = append(v.block, split.New(2, 0))
		v.route = append(v.route, split.New(n, 0))
	}
	v.reset(0)
	return v, nil
}

// Name is "virtual".
func (v *Testbed) Name() string { return "virtual" }

// Mesh is the mesh that is simulated.
func (v *Testbed) Mesh() mesh.Mesh { return v.mesh }

// Timing is the course of a step.
func (v *Testbed) Timing() testbed.Timing { return v.cfg.Timing }

// TimeScale is 1.
func (v *Testbed) TimeScale() float64 { return 1 }

// Now is zero: time is simulated.
func (v *Testbed) Now() time.Time { return time.Time{} }

// Close does nothing.
func (v *Testbed) Close() error { return nil }

// Reset empties the queues and begins again from seed.
func (v *Testbed) Reset(ctx context.Context, seed uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.reset(seed)
	return nil
}

func (v *Testbed) reset(seed uint64) {
	v.step, v.now = 0, 0
	v.requests = stream.New(v.mesh.M(), seed)
	for j := range v.nodes {
		v.nodes[j].departures = v.nodes[j].departures[:0]
	}
	for i := range v.block {
		v.block[i].Reset(seed + uint64(2*i))
		v.route[i].Reset(seed + uint64(2*i+1))
	}
}

// Measure simulates one step. Requests that are answered after its end count
// with their full delay.
func (v *Testbed) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if err := ctx.Err(); err != nil {
		return mesh.Measurement{}, err
	}
	if err := testbed.CheckStep(v.mesh, load, a); err != nil {
		return mesh.Measurement{}, fmt.Errorf("virtual: step %d: %w", v.step, err)
	}
	for i := range load {
		v.block[i].Set(1-a.Block[i], a.Block[i])
		v.route[i].Set(a.Route[i*v.mesh.N() : (i+1)*v.mesh.N()]...)
	}
	v.requests.Begin(v.step, load)
	v.step++
	v.tally.Reset()
	begin := v.now + v.cfg.Timing.Settle
	end := begin + v.cfg.Timing.Step
	last := end // the last reply that is waited for
	for {
		r := v.requests.Next()
		t := v.now + r.At
		if t >= last {
			break
		}
		outcome, j, delay := v.serve(r, t)
		if t >= begin && t < end {
			v.tally.Add(r.Service, outcome, j, delay)
			if outcome == testbed.Answered {
				last = max(last, t+delay)
			}
		}
	}
	v.now = last
	return v.tally.Measurement(v.cfg.Timing.Step), nil
}

// serve is the way of a request that is sent at simulated time t.
func (v *Testbed) serve(r stream.Request, t float64) (testbed.Outcome, int, float64) {
	i := r.Service
	if v.block[i].Next() == 1 {
		return testbed.Blocked, -1, 0
	}
	j := v.route[i].Next()
	q := &v.nodes[j]
	gone := 0
	for gone < len(q.departures) && q.departures[gone] <= t {
		gone++
	}
	q.departures = append(q.departures[:0], q.departures[gone:]...)
	if len(q.departures) > v.cfg.Queue {
		return testbed.Failed, j, 0
	}
	start := t
	if k := len(q.departures); k > 0 {
		start = q.departures[k-1]
	}
	departure := start + item.ServiceTime(v.catalogue.Size(i, v.catalogue.Key(i, r.Draw)))
	q.departures = append(q.departures, departure)
	return testbed.Answered, j, departure - t + v.cfg.Link
}
