package virtual_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/service/split"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

func open(t testing.TB, name string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t testing.TB, s scenario.Scenario) *virtual.Testbed {
	t.Helper()
	v, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func measure(t testing.TB, v *virtual.Testbed, l mesh.Load, a mesh.Action) mesh.Measurement {
	t.Helper()
	x, err := v.Measure(context.Background(), l, a)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// The paper's mesh gives what the simulation of that mesh alone gave, to the
// last bit: published traces can be made again.
func TestPaperUnchanged(t *testing.T) {
	v := start(t, scenario.Paper())
	space := v.Space()
	hash := sha256.New()
	for seed := range uint64(3) {
		v.Reset(context.Background(), seed)
		r := rand.New(rand.NewPCG(seed, 1))
		for range 3000 {
			l := mesh.Load{float64(5 + 5*r.IntN(4)), float64(5 + 5*r.IntN(4))}
			x := measure(t, v, l, space.At(r.IntN(space.Len())))
			fmt.Fprintln(hash, x.Generated, x.Carried, x.Blocked, x.Failed, x.Service, x.Endpoint, x.Mark)
		}
	}
	// Of the 9,000 lines that commit 3679612 printed for the same.
	const want = "358c63458ebc4560511e796442c4292dd445b59e54b2c2599f9309b51d773974"
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		t.Errorf("hash of the measurements %s, want %s", got, want)
	}
}

// naive is the same mesh by events of its own: servers that take the next
// waiting call when they are done, instead of departures that are known when a
// call arrives.
type naive struct {
	space    *mesh.Space
	s        scenario.Scenario
	times    *item.Catalogue
	events   []naiveEvent
	number   int
	nodes    []naiveNode
	servers  []int
	speed    []float64
	block    []*split.Splitter
	route    []*split.Splitter
	tally    *testbed.Tally
	pending  int
	last     float64
	from, to float64
}

type naiveEvent struct {
	at     float64
	number int
	do     func(t float64)
}

type naiveNode struct {
	busy    int
	waiting []func(t float64) // begin service
}

func (n *naive) schedule(at float64, do func(float64)) {
	n.events = append(n.events, naiveEvent{at, n.number, do})
	n.number++
}

// call is one call that arrives at a node at time t.
func (n *naive) call(j int, t, work float64, done func(departure float64, ok bool)) {
	q := &n.nodes[j]
	if len(q.waiting) >= n.s.Queue && q.busy >= n.servers[j] {
		done(0, false)
		return
	}
	begin := func(t float64) {
		q.busy++
		n.schedule(t+work/n.speed[j], func(t float64) {
			q.busy--
			if len(q.waiting) > 0 {
				next := q.waiting[0]
				q.waiting = q.waiting[1:]
				next(t)
			}
			done(t, true)
		})
	}
	if q.busy < n.servers[j] {
		begin(t)
	} else {
		q.waiting = append(q.waiting, begin)
	}
}

func (n *naive) stage(r stream.Request, k int, sent, t float64, reported bool, calls *[]testbed.Call) {
	l := n.space.Layout()
	stage := l.Stages[r.Service][k]
	left, failed, end := len(stage), false, 0.0
	for _, c := range stage {
		at := l.Calls[c]
		to := n.route[c].Next()
		u := at.Microservice
		n.call(at.Nodes[to], t, item.ServiceTime(n.times.Size(u, n.times.Key(u, r.Draw))), func(departure float64, ok bool) {
			if ok {
				*calls = append(*calls, testbed.Call{Endpoint: at.First + to, Delay: departure - t + n.s.Link})
				end = max(end, departure+n.s.Link)
			}
			failed = failed || !ok
			if left--; left > 0 {
				return
			}
			switch {
			case failed:
				if reported {
					n.pending--
					n.tally.Add(r.Service, testbed.Failed, 0, *calls)
				}
			case k+1 < len(l.Stages[r.Service]):
				n.schedule(end, func(t float64) { n.stage(r, k+1, sent, t, reported, calls) })
			case reported:
				n.pending--
				n.tally.Add(r.Service, testbed.Answered, end-sent, *calls)
				n.last = max(n.last, end)
			}
		})
	}
}

// run makes one step from an empty mesh.
func (n *naive) run(seed uint64, load mesh.Load) mesh.Measurement {
	requests := stream.New(len(load), seed)
	requests.Begin(0, load)
	n.from, n.to = n.s.Timing.Settling(), n.s.Timing.Seconds()
	n.last = n.to
	next := requests.Next()
	for {
		first := 0
		for k, e := range n.events {
			if e.at < n.events[first].at || e.at == n.events[first].at && e.number < n.events[first].number {
				first = k
			}
		}
		if len(n.events) > 0 && n.events[first].at <= next.At {
			e := n.events[first]
			n.events = slices.Delete(n.events, first, first+1)
			e.do(e.at)
			continue
		}
		if next.At >= n.last && n.pending == 0 {
			return n.tally.Measurement(n.s.Timing.Step)
		}
		t, r := next.At, next
		next = requests.Next()
		reported := t >= n.from && t < n.to
		if n.block[r.Service].Next() == 1 {
			if reported {
				n.tally.Add(r.Service, testbed.Blocked, 0, nil)
			}
			continue
		}
		if reported {
			n.pending++
		}
		n.stage(r, 0, t, t, reported, &[]testbed.Call{})
	}
}

// Every built-in scenario, and one whose nodes have several servers, gives what
// the naive simulation gives, under light and heavy load.
func TestNaive(t *testing.T) {
	servers := open(t, "graph")
	servers.Name = "servers"
	servers.Knobs = append(servers.Defaults().Knobs, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3}, mesh.Knob{Kind: mesh.CPU, Min: .5, Max: 2, By: .5})
	servers.Loads[0].Max, servers.Loads[1].Max = 120, 90
	list := []scenario.Scenario{servers}
	for _, name := range scenario.List() {
		s := open(t, name)
		if name == "increments" {
			s.Loads[0].Max = 30 // its own fills no queue
		}
		list = append(list, s)
	}
	for _, s := range list {
		t.Run(s.Name, func(t *testing.T) {
			s = s.Defaults()
			s.Timing.Step = 20
			v := start(t, s)
			space := v.Space()
			l := space.Layout()
			rng := rand.New(rand.NewPCG(1, 2))
			failed := 0.0
			for seed := range uint64(12) {
				load := make(mesh.Load, s.Mesh.M())
				for i, r := range s.Loads {
					load[i] = r.Min + (1.5*r.Max-r.Min)*rng.Float64()
				}
				choice := make([]int, len(space.Choices()))
				for h, n := range space.Choices() {
					choice[h] = rng.IntN(n)
				}
				a := space.Action(nil, choice)
				c, err := item.NewCatalogue(s.Kinds(), 0)
				if err != nil {
					t.Fatal(err)
				}
				n := &naive{space: space, s: s, times: c, nodes: make([]naiveNode, s.Mesh.N()), tally: testbed.NewTally(l, nil)}
				for j := range s.Mesh.Nodes {
					n.servers = append(n.servers, int(space.Value(a, mesh.Replicas, j, 1)))
					n.speed = append(n.speed, s.Mesh.Speed(j)*space.Value(a, mesh.CPU, j, 1))
				}
				for i := range load {
					b := split.New(2, seed+uint64(2*i))
					b.Set(1-space.BlockOf(a, i), space.BlockOf(a, i))
					n.block = append(n.block, b)
				}
				for c := range l.Calls {
					r := split.New(len(l.Calls[c].Nodes), seed+uint64(2*c+1))
					r.Set(space.RouteOf(a, c)...)
					n.route = append(n.route, r)
				}
				want := n.run(seed, load)
				if err := v.Reset(context.Background(), seed); err != nil {
					t.Fatal(err)
				}
				v.Configure(a)
				got := measure(t, v, load, a)
				if fmt.Sprint(got.Generated, got.Carried, got.Blocked, got.Failed) != fmt.Sprint(want.Generated, want.Carried, want.Blocked, want.Failed) {
					t.Fatalf("%v, %s: %v %v, want %v %v", load, space.Format(a), got.Carried, got.Failed, want.Carried, want.Failed)
				}
				for k, d := range append(slices.Clone(got.Service), got.Endpoint...) {
					w := append(slices.Clone(want.Service), want.Endpoint...)[k]
					if d.Count != w.Count || d.Count > 0 && (math.Abs(d.Mean-w.Mean) > 1e-9 || math.Abs(d.P99-w.P99) > 1e-9) {
						t.Fatalf("%v, %s: delay %d is %+v, want %+v", load, space.Format(a), k, d, w)
					}
				}
				for _, f := range got.Failed {
					failed += f
				}
			}
			if failed == 0 {
				t.Error("no queue was ever full")
			}
		})
	}
}

// queue is a scenario of one service on one node.
func queue(time float64, knobs ...mesh.Knob) scenario.Scenario {
	return scenario.Scenario{Name: "queue", Mesh: mesh.New(1, 1), Knobs: append(knobs, mesh.Knob{Kind: mesh.Block}),
		Loads: load.Ranges{{Min: 0, Max: 100}}, Targets: []objective.Target{{Goal: 1}}, Work: []scenario.Work{{Time: time, Variation: .8, Items: 500}},
		Queue: 1 << 20, Link: -1}
}

// The mean delay of one node is that of Pollaczek and Khinchine: service plus
// lambda E[S^2] / (2 (1 - rho)). With a factor of CPU it is that of the faster
// node.
func TestMG1(t *testing.T) {
	s := queue(.020, mesh.Knob{Kind: mesh.CPU, Points: [][]float64{{1}, {2}}})
	v := start(t, s)
	c, err := item.NewCatalogue(s.Kinds(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, cpu := range []float64{1, 2} {
		var first, second float64
		for key := range c.Len(0) {
			x := item.ServiceTime(c.Size(0, key)) / cpu / float64(c.Len(0))
			first += x
			second += x * x * float64(c.Len(0))
		}
		lambda := .7 / first
		x, err := v.Truth(context.Background(), mesh.Load{lambda}, mesh.Action{cpu, 0}, 4000, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := x.Service[0].Mean, first+lambda*second/(2*(1-.7)); math.Abs(got/want-1) > .03 {
			t.Errorf("CPU %v: mean delay %.5f s, %.5f s in theory", cpu, got, want)
		}
	}
}

// Replicas are servers that share one queue; none at all serves nothing.
func TestReplicas(t *testing.T) {
	s := queue(.020, mesh.Knob{Kind: mesh.Replicas, Min: 0, Max: 3})
	s.Queue = 16
	v := start(t, s)
	var means []float64
	for r := range 4 {
		x, err := v.Truth(context.Background(), mesh.Load{45}, mesh.Action{float64(r), 0}, 200, 1)
		if err != nil {
			t.Fatal(err)
		}
		if r == 0 {
			if x.Service[0].Count != 0 || x.Failed[0] < 200 {
				t.Errorf("without a server %v were answered, %v failed", x.Service[0].Count, x.Failed[0])
			}
			continue
		}
		means = append(means, x.Service[0].Mean)
	}
	if !(means[0] > 2*means[1] && means[1] > means[2] && means[2] > .0199) {
		t.Errorf("mean delays with 1, 2, 3 servers: %.4f s", means)
	}
}

// A run follows from its seed, whatever was run before; steps of Replicate and
// Truth agree in the mean.
func TestSeed(t *testing.T) {
	for _, name := range []string{"paper", "graph"} {
		s := open(t, name)
		v := start(t, s)
		a := v.Space().Default()
		l := s.Loads.Mid()
		run := func(seed uint64) (text string) {
			v.Reset(context.Background(), seed)
			for range 50 {
				text += fmt.Sprint(measure(t, v, l, a))
			}
			return text
		}
		first, other := run(1), run(2)
		if first == other || first != run(1) {
			t.Errorf("%s: runs do not follow from their seeds", name)
		}
		var mean, count float64
		err := v.Replicate(context.Background(), l, a, 400, 7, func(x mesh.Measurement) {
			mean += x.Service[0].Mean * x.Service[0].Count
			count += x.Service[0].Count
		})
		x, e := v.Truth(context.Background(), l, a, 400, 7)
		if err != nil || e != nil {
			t.Fatal(err, e)
		}
		if mean /= count; math.Abs(mean/x.Service[0].Mean-1) > .05 {
			t.Errorf("%s: %.4f s in single steps, %.4f s in a long one", name, mean, x.Service[0].Mean)
		}
	}
}

func TestErrors(t *testing.T) {
	unknown := open(t, "paper")
	unknown.Knobs = append(unknown.Knobs, mesh.Knob{Kind: "test-colour", Points: [][]float64{{0}, {1}}})
	mesh.RegisterKind(mesh.KindInfo{Kind: "test-colour", Scope: mesh.PerNode, Prefix: "colour"})
	for _, c := range []struct {
		s    scenario.Scenario
		want string
	}{
		{scenario.Scenario{}, "virtual: name"},
		{unknown, "virtual: knob colour1 is of kind test-colour, which is not simulated; accepted: [route block replicas cpu]"},
	} {
		if _, err := virtual.New(virtual.Config{Scenario: c.s}); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	v := start(t, open(t, "paper"))
	even := v.Space().Default()
	for _, c := range []struct {
		load mesh.Load
		a    mesh.Action
		want string
	}{
		{mesh.Load{5}, even, "virtual: step 0: 1 loads for the 2 services"},
		{mesh.Load{5, math.NaN()}, even, "virtual: step 0: load l2 is NaN"},
		{mesh.Load{5, 1e9}, even, "accepted: at most 1000000 in a step"},
		{mesh.Load{5, 5}, even[:3], "virtual: step 0: mesh: action of 3 values"},
	} {
		if _, err := v.Measure(context.Background(), c.load, c.a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
	// A step that takes long can be ended, and the run goes on.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := v.Truth(ctx, mesh.Load{20, 20}, even, 1e7, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
	if x := measure(t, v, mesh.Load{20, 20}, even); x.Service[0].Count == 0 {
		t.Error("nothing was answered after that")
	}
}

var _ control.System = (*virtual.Testbed)(nil)

// BenchmarkMeasure shows requests and calls per s of real time, at the middle
// of the loads and under even routing.
func BenchmarkMeasure(b *testing.B) {
	for _, name := range scenario.List() {
		b.Run(name, func(b *testing.B) {
			s := open(b, name)
			v := start(b, s)
			l, a := s.Loads.Mid(), v.Space().Default()
			layout := v.Space().Layout()
			perRequest := make([]float64, len(l))
			for _, c := range layout.Calls {
				perRequest[c.Service]++
			}
			requests, calls := 0.0, 0.0
			b.ReportAllocs()
			for b.Loop() {
				x := measure(b, v, l, a)
				for i, g := range x.Generated {
					requests += g * 5.5
					calls += g * 5.5 * perRequest[i]
				}
			}
			b.ReportMetric(requests/b.Elapsed().Seconds()/1e6, "Mrequests/s")
			b.ReportMetric(calls/b.Elapsed().Seconds()/1e6, "Mcalls/s")
		})
	}
}

// A replica that was asked for serves from its moment on, in the middle of a
// step; one that is given up finishes what it has, and nothing fails.
func TestStartUp(t *testing.T) {
	s := open(t, "autoscale").Defaults()
	s.Knobs = []mesh.Knob{{Kind: mesh.Replicas, Min: 1, Max: 5, Up: 7.5, Cost: 1}}
	v := start(t, s)
	if err := v.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	load := mesh.Load{20}
	var busy []float64
	for range 4 {
		busy = append(busy, measure(t, v, load, mesh.Action{3}).Busy[0])
	}
	// There is work of 1.8 s a second. One server has all of the first step to work;
	// when three are there, they share what has waited.
	if busy[0] < .95 || busy[0] > 1 || busy[1] < 1.8 || busy[1] > 3 || busy[3] < 1.3 || busy[3] > 2.3 {
		t.Errorf("servers at work: %v", busy)
	}
	for range 20 {
		measure(t, v, load, mesh.Action{3})
	}
	x := measure(t, v, load, mesh.Action{2})
	if now, pending := v.InForce(); now[0] != 2 || len(pending) > 0 || x.Failed[0] > 0 {
		t.Errorf("one replica less: %v in force, %v pending, %v failed", now, pending, x.Failed[0])
	}
	if e := v.Elapsed(); e < 25*5 || e > 25*5.5 {
		t.Errorf("25 steps took %v s", e)
	}
}

// The servers at work are as many as the work that is done.
func TestBusy(t *testing.T) {
	s := open(t, "autoscale").Defaults()
	v := start(t, s)
	v.Reset(context.Background(), 1)
	v.Configure(mesh.Action{4})
	sum, n := 0.0, 200
	for range n {
		sum += measure(t, v, mesh.Load{20}, mesh.Action{4}).Busy[0] / float64(n)
	}
	if math.Abs(sum-20*.09) > .05 {
		t.Errorf("%v servers at work, want %v", sum, 20*.09)
	}
}
