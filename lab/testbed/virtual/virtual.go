// Package virtual is a scenario as a discrete-event simulation: Poisson
// arrivals, blocking and routing at the front, stages of parallel calls, and
// processing nodes that serve all of their microservices first come, first
// served from a bounded queue, with the service times of the local testbed's
// items. It makes 45,343 steps of the paper's mesh in seconds and has a ground
// truth that can be computed as closely as wanted (Truth), so that it shows what
// a learned model loses. Its results are always labelled virtual.
package virtual

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/service/split"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Changeable = (*Testbed)(nil)

// Config describes the testbed.
type Config struct {
	// Scenario is what is simulated; there is no default. Its knobs are routes,
	// blocking, replicas, which are servers of a node, and CPU, a factor of its
	// speed; the last two apply to the calls that a server begins with from when
	// they are in force on, whether they have come before or not.
	Scenario scenario.Scenario
	ItemSeed uint64 // of the items' sizes
}

// node is a first-come-first-served station. Under that discipline a call's
// departure is known when it arrives, so the queue is a list of departures, until
// a knob changes what calls that wait wait for.
type node struct {
	base       float64   // speed without knobs
	speed      float64   // 0 for a node that serves nothing
	servers    int       // likewise
	departures []float64 // of the calls in the node, ascending
	waiting    []waiting // calls that had to wait when they came, in their order, where knobs change nodes
	busy       float64   // s of work in the measured part of the step
	ahead      []span    // of work that goes on after it
}

// waiting is a call that waits for a server.
type waiting struct {
	span
	work    float64
	request *request // nil of one that failed by another call
	call    int      // its number in the request
	came    float64
}

// span is when a server works.
type span struct{ from, to float64 }

// within is how long it works between two times.
func (s span) within(begin, end float64) float64 { return max(0, min(s.to, end)-max(s.from, begin)) }

// Testbed is the simulated mesh. It is for one goroutine.
type Testbed struct {
	cfg      Config
	space    *mesh.Space
	layout   *mesh.Layout
	times    [][]float64 // service time of each item of each microservice, s at speed 1
	timing   control.Timing
	link     float64
	queue    int
	step     int
	now      float64 // simulated time, s
	progress *control.Progress
	changed  change.Condition
	applied  mesh.Action
	moved    float64 // simulated time of progress
	begin    float64 // of the measured part of the step
	end      float64
	nodes    []node
	block    []*split.Splitter // per service
	route    []*split.Splitter // per call
	requests *stream.Stream
	tally    *testbed.Tally
	later    events
	free     []*request
	// pending are the requests whose replies a step waits for, but for those whose
	// reply is known to come at last or before.
	pending int
	last    float64
	moving  bool // knobs change nodes
}

// request is one that has stages before it.
type request struct {
	service  int
	stage    int // the next
	draw     uint64
	sent     float64
	delay    float64 // of the stages before
	part     float64 // of the stage that it is in, as known now
	event    uint64  // number of the event that ends it
	first    int     // number of its first call in calls
	reported bool
	calls    []testbed.Call
}

// New returns a mesh with empty queues and seed 0.
func New(cfg Config) (*Testbed, error) {
	if err := cfg.Scenario.Validate(); err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	cfg.Scenario = cfg.Scenario.Defaults()
	s := cfg.Scenario
	space, err := s.Space()
	if err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	moving := false
	for _, k := range space.Knobs() {
		moving = moving || k.Kind == mesh.Replicas || k.Kind == mesh.CPU
		if !slices.Contains(kinds, k.Kind) {
			return nil, fmt.Errorf("virtual: knob %s is of kind %s, which is not simulated; accepted: %v", k.Name, k.Kind, kinds)
		}
	}
	catalogue, err := item.NewCatalogue(s.Kinds(), cfg.ItemSeed)
	if err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	v := &Testbed{cfg: cfg, space: space, layout: space.Layout(), timing: s.Timing, link: max(s.Link, 0), queue: s.Queue,
		nodes: make([]node, s.Mesh.N()), tally: testbed.NewTally(space.Layout(), s.Goals()), moving: moving}
	for u := range catalogue.Services() {
		times := make([]float64, catalogue.Len(u))
		for key := range times {
			times[key] = item.ServiceTime(catalogue.Size(u, key))
		}
		v.times = append(v.times, times)
	}
	for j := range v.nodes {
		v.nodes[j].base = s.Mesh.Speed(j)
	}
	for range s.Mesh.Services {
		v.block = append(v.block, split.New(2, 0))
	}
	for _, c := range v.layout.Calls {
		v.route = append(v.route, split.New(len(c.Nodes), 0))
	}
	v.progress = control.NewProgress(space)
	v.reset(0)
	return v, nil
}

// kinds are the knobs that are simulated.
var kinds = []mesh.Kind{mesh.Route, mesh.Block, mesh.Replicas, mesh.CPU}

// Name is "virtual".
func (v *Testbed) Name() string { return "virtual" }

// Space is what can be controlled.
func (v *Testbed) Space() *mesh.Space { return v.space }

// Timing is the course of a step.
func (v *Testbed) Timing() control.Timing { return v.timing }

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
	v.step, v.now, v.moved = 0, 0, 0
	v.progress.Reset()
	v.change(change.As(v.layout))
	v.requests = stream.New(len(v.block), seed)
	for j := range v.nodes {
		v.nodes[j].departures = v.nodes[j].departures[:0]
		v.nodes[j].ahead = v.nodes[j].ahead[:0]
		v.nodes[j].waiting = v.nodes[j].waiting[:0]
	}
	for _, e := range v.later.heap {
		if e.number == e.request.event {
			v.free = append(v.free, e.request)
		}
	}
	v.later = events{heap: v.later.heap[:0]}
	for i := range v.block {
		v.block[i].Reset(seed + uint64(2*i))
	}
	for c := range v.route {
		v.route[c].Reset(seed + uint64(2*c+1))
	}
}

// Measure simulates one step. Requests that are answered after its end count
// with their full delay.
func (v *Testbed) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	if err := ctx.Err(); err != nil {
		return mesh.Measurement{}, err
	}
	err := control.CheckStep(v.space, load, a)
	if err == nil {
		// The configured step: that of Truth may be longer.
		err = stream.Check(load, v.cfg.Scenario.Timing.Seconds())
	}
	if err != nil {
		return mesh.Measurement{}, fmt.Errorf("virtual: step %d: %w", v.step, err)
	}
	v.progress.Ask(a)
	v.configure()
	v.applied = append(v.applied[:0], v.inForce()...)
	v.requests.Begin(v.step, load)
	v.step++
	v.tally.Reset()
	begin := v.now + v.timing.Settling()
	end := begin + v.timing.Step
	v.last, v.pending = end, 0
	v.window(begin, end)
	change := v.moved + v.progress.Next()
	next := v.requests.Next()
	for n := 1; ; n++ {
		t, later := v.now+next.At, false
		if at := v.later.first(); at <= t {
			t, later = at, true
		}
		if n%4096 == 0 && ctx.Err() != nil {
			v.leave()
			v.now = min(t, v.last) // the nodes have what came until then
			return mesh.Measurement{}, ctx.Err()
		}
		if t >= v.last && v.pending == 0 {
			break
		}
		if t >= change {
			v.advance(change) // which may bring other events forward
			change += v.progress.Next()
			continue
		}
		if later {
			if e := v.later.pop(); e.number == e.request.event {
				v.reach(e.request, t)
			}
			continue
		}
		v.arrive(next, t, t >= begin && t < end)
		next = v.requests.Next()
	}
	v.leave()
	v.now = v.last
	v.advance(v.now)
	x := v.tally.Measurement(v.timing.Step)
	for j := range v.nodes {
		x.Busy[j] = v.nodes[j].busy / v.timing.Step
	}
	return x, nil
}

// window begins to count the work between two times.
func (v *Testbed) window(begin, end float64) {
	v.begin, v.end = begin, end
	for j := range v.nodes {
		n := &v.nodes[j]
		n.busy = 0
		n.ahead = slices.DeleteFunc(n.ahead, func(s span) bool {
			n.busy += s.within(begin, end)
			return s.to <= end
		})
	}
}

// advance lets knobs go on to simulated time t.
func (v *Testbed) advance(t float64) {
	changes := t >= v.moved+v.progress.Next()-1e-9
	v.progress.Advance(t - v.moved)
	if v.moved = t; changes {
		v.configure()
	}
}

// Elapsed is the simulated time of the run in s.
func (v *Testbed) Elapsed() float64 { return v.now }

// Applied is the action that was in force when the last step began.
func (v *Testbed) Applied() mesh.Action { return v.applied }

// InForce is the action in force and what is on its way to be.
func (v *Testbed) InForce() (mesh.Action, []mesh.Pending) { return v.progress.InForce() }

// Configure puts the knobs that take their time to what action a says at once.
func (v *Testbed) Configure(a mesh.Action) { v.progress.Set(a, nil) }

// Change makes the mesh another for the calls that come from now on, and where
// knobs change nodes for those that wait; the others of a node are served as they
// would have been.
func (v *Testbed) Change(_ context.Context, c change.Condition) error {
	if err := c.Validate(v.layout); err != nil {
		return fmt.Errorf("virtual: %w", err)
	}
	v.change(c)
	v.configure()
	return nil
}

func (v *Testbed) change(c change.Condition) {
	v.changed = c
	v.progress.Late(testbed.Lateness(v.space, c))
}

func (v *Testbed) inForce() mesh.Action {
	a, _ := v.progress.InForce()
	return a
}

// leave ends a step: requests that are still under way, as they would be if the
// load went on, are none of the next one's.
func (v *Testbed) leave() {
	for _, e := range v.later.heap {
		e.request.reported = false
	}
}

// configure makes the mesh what the action in force says.
func (v *Testbed) configure() {
	a := v.inForce()
	for i := range v.block {
		b := v.space.BlockOf(a, i)
		v.block[i].Set(1-b, b)
	}
	for c := range v.route {
		v.route[c].Set(v.space.RouteOf(a, c)...)
	}
	for j := range v.nodes {
		n := &v.nodes[j]
		servers, speed := int(v.space.Value(a, mesh.Replicas, j, 1)), n.base*v.space.Value(a, mesh.CPU, j, 1)*v.changed.Speed[j]
		if servers == n.servers && speed == n.speed {
			continue
		}
		n.servers, n.speed = servers, speed
		v.requeue(n)
	}
}

// arrive begins the way of a request that is sent at simulated time t.
func (v *Testbed) arrive(r stream.Request, t float64, reported bool) {
	if v.block[r.Service].Next() == 1 {
		if reported {
			v.tally.Add(r.Service, testbed.Blocked, 0, nil)
		}
		return
	}
	x := v.request()
	*x = request{service: r.Service, draw: r.Draw, sent: t, reported: reported, calls: x.calls[:0]}
	if reported {
		v.pending++
	}
	v.serve(x, t)
}

// serve makes the next stage of a request, which begins at simulated time t.
func (v *Testbed) serve(x *request, t float64) {
	ok := v.pass(x, t)
	x.stage++
	switch last := x.stage == len(v.layout.Stages[x.service]); {
	case !ok:
		v.finish(x, false)
	case last && !v.moving: // all of it is known
		x.delay += x.part
		v.finish(x, true)
	default:
		v.later.push(t+x.part, x)
	}
}

// reach ends a request's stage at simulated time t.
func (v *Testbed) reach(x *request, t float64) {
	x.delay += x.part
	if x.stage < len(v.layout.Stages[x.service]) {
		v.serve(x, t)
		return
	}
	v.finish(x, true)
}

// finish ends a request.
func (v *Testbed) finish(x *request, ok bool) {
	if x.reported {
		v.pending--
		v.report(x.service, ok, x.sent, x.delay, x.calls)
	}
	v.free = append(v.free, x)
}

func (v *Testbed) request() *request {
	if k := len(v.free) - 1; k >= 0 {
		x := v.free[k]
		v.free = v.free[:k]
		return x
	}
	return &request{}
}

// report counts a request that was sent at time sent.
func (v *Testbed) report(service int, ok bool, sent, delay float64, calls []testbed.Call) {
	if !ok {
		v.tally.Add(service, testbed.Failed, 0, calls)
		return
	}
	v.tally.Add(service, testbed.Answered, delay, calls)
	v.last = max(v.last, sent+delay)
}

// pass makes the calls of a request's stage at simulated time t, which lasts until
// the slowest reply. A call that finds its node's queue full fails the request; the
// others are served all the same.
func (v *Testbed) pass(x *request, t float64) (ok bool) {
	ok = true
	x.part, x.first = 0, len(x.calls)
	for _, c := range v.layout.Stages[x.service][x.stage] {
		at := &v.layout.Calls[c]
		k := v.route[c].Next()
		times := v.times[at.Microservice]
		n, work := &v.nodes[at.Nodes[k]], times[x.draw%uint64(len(times))]*v.changed.Work[at.Microservice]
		n.leave(t)
		if len(n.departures) >= v.queue+n.servers || n.servers == 0 || !(n.speed > 0) {
			ok = false
			continue
		}
		s := v.take(n, t, work)
		if v.moving && s.from > t {
			n.waiting = append(n.waiting, waiting{s, work, x, len(x.calls), t})
		}
		d := s.to - t + v.link
		x.part = max(x.part, d)
		x.calls = append(x.calls, testbed.Call{Endpoint: at.First + k, Delay: d})
	}
	if !ok && v.moving {
		for j := range v.nodes {
			for k := range v.nodes[j].waiting {
				if w := &v.nodes[j].waiting[k]; w.request == x {
					w.request = nil
				}
			}
		}
	}
	return ok
}

// leave forgets the calls that have left by time t.
func (n *node) leave(t float64) {
	gone := 0
	for gone < len(n.departures) && n.departures[gone] <= t {
		gone++
	}
	if gone > 0 {
		n.departures = n.departures[:copy(n.departures, n.departures[gone:])]
	}
	gone = 0
	for gone < len(n.waiting) && n.waiting[gone].from <= t {
		gone++
	}
	if gone > 0 {
		n.waiting = n.waiting[:copy(n.waiting, n.waiting[gone:])]
	}
}

// take is when a server of a node works on a call that comes at time t.
func (v *Testbed) take(n *node, t, work float64) span {
	in, start := len(n.departures), t
	if in >= n.servers {
		// As soon as one less than there are servers are left.
		start = n.departures[in-n.servers]
	}
	s := span{start, start + work/n.speed}
	n.busy += s.within(v.begin, v.end)
	if s.to > v.end {
		n.ahead = append(n.ahead, s)
	}
	n.departures = append(n.departures, s.to)
	for k := in; k > 0 && n.departures[k-1] > s.to; k-- {
		n.departures[k], n.departures[k-1] = n.departures[k-1], s.to
	}
	return s
}

// requeue lets the calls that wait for a node wait for it as it is from now on.
func (v *Testbed) requeue(n *node) {
	t := v.moved
	n.leave(t)
	if len(n.waiting) == 0 || n.servers == 0 || !(n.speed > 0) {
		return // what waits is served as it would have been
	}
	for _, w := range n.waiting {
		k, _ := slices.BinarySearch(n.departures, w.to)
		n.departures = slices.Delete(n.departures, k, k+1)
		n.busy -= w.within(v.begin, v.end)
		if k := slices.Index(n.ahead, w.span); k >= 0 {
			n.ahead = slices.Delete(n.ahead, k, k+1)
		}
	}
	for k := range n.waiting {
		w := &n.waiting[k]
		w.span = v.take(n, t, w.work)
		if w.request == nil {
			continue
		}
		x := w.request
		x.calls[w.call].Delay = w.to - w.came + v.link
		part := 0.0
		for _, c := range x.calls[x.first:] {
			part = max(part, c.Delay)
		}
		if part != x.part {
			x.part = part
			v.later.push(w.came+part, x)
		}
	}
}
