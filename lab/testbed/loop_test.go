package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/call"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/testbed"
)

// paper is the space of the paper's mesh.
var paper = mesh.Grid(mesh.New(2, 2), 6)

// plane is one that does as it is told, or fails.
type plane struct {
	applied mesh.Action
	pending []mesh.Pending
	err     error
	faults  []string
}

func (p *plane) Apply(_ context.Context, a mesh.Action) error { p.applied = a; return p.err }
func (p *plane) Reset(context.Context, uint64) error          { return p.err }
func (p *plane) Faults(context.Context) []string              { return p.faults }
func (p *plane) InForce() (mesh.Action, []mesh.Pending)       { return p.applied, p.pending }

// script is a generator that gives the same results in every step, the first
// late ones of them with a lag of 8 ms.
type script struct {
	results []httpload.Result
	late    int
	err     error
	steps   []httpload.Step
}

func (s *script) Reset(context.Context, uint64) error { return s.err }

func (s *script) Run(_ context.Context, step httpload.Step) ([]httpload.Result, error) {
	s.steps = append(s.steps, step)
	out := append([]httpload.Result(nil), s.results...)
	for k := range out {
		out[k].Lag = .001
		if len(s.steps) <= s.late {
			out[k].Lag = .008
		}
	}
	return out, s.err
}

func result(service, status int, node, failure string, delay float64) httpload.Result {
	return httpload.Result{Request: stream.Request{Service: service}, Status: status, Node: node, Failure: failure, Delay: delay}
}

// What becomes of the requests of a step is counted, what failed otherwise than
// by overload is marked, and a step that the generator disturbed is made again.
func TestLoop(t *testing.T) {
	ok := result(0, http.StatusOK, "node1", "", .02)
	for _, c := range []struct {
		name     string
		results  []httpload.Result
		late     int
		faults   []string
		runs     int
		repeated int
		mark     string
		blocked  []float64
		failed   []float64
	}{
		{"sound", []httpload.Result{ok, result(1, 200, "node2", "", .1)}, 0, nil, 1, 0, "", []float64{0, 0}, []float64{0, 0}},
		{"no requests", nil, 0, nil, 1, 0, "", []float64{0, 0}, []float64{0, 0}},
		{"overload", []httpload.Result{ok, result(0, 429, "", cause.Blocked, .001), result(1, 503, "node2", cause.Queue, .001)},
			0, nil, 1, 0, "", []float64{1, 0}, []float64{0, 1}},
		{"faults", []httpload.Result{ok, result(1, 502, "node2", cause.Node, .001), result(0, 500, "node1", cause.Database, .001),
			result(0, 0, "", "time-out", 10), result(1, 502, "node2", cause.Node, .001)}, 0, []string{"node2 is not ready: connection refused"}, 1, 0,
			"1 requests failed: node1 database; 2 requests failed: node2 node; 1 requests failed: time-out; node2 is not ready: connection refused",
			[]float64{0, 0}, []float64{2, 2}},
		{"a name without end", []httpload.Result{ok, result(0, 502, strings.Repeat("n", 1<<20), "node", .001)}, 0, nil, 1, 0,
			"1 requests failed: " + strings.Repeat("n", 80) + "...", []float64{0, 0}, []float64{1, 0}},
		{"late once", []httpload.Result{ok}, 1, nil, 2, 1, "", []float64{0, 0}, []float64{0, 0}},
		{"late always", []httpload.Result{ok}, 100, []string{"node1 is not ready"}, 6, 5, "generator late: 8 ms on average; node1 is not ready", []float64{0, 0}, []float64{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &script{results: c.results, late: c.late}
			p := &plane{faults: c.faults}
			l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: paper, TimeScale: 10, Plane: p, Generator: g})
			load, a := mesh.Load{5, 20}, paper.Default()
			x, err := l.Measure(context.Background(), load, a)
			if err != nil {
				t.Fatal(err)
			}
			if len(g.steps) != c.runs || l.Repeated() != c.repeated {
				t.Errorf("%d runs, %d repeated; want %d and %d", len(g.steps), l.Repeated(), c.runs, c.repeated)
			}
			for _, s := range g.steps {
				if want := (httpload.Step{Number: 0, Load: load, Settle: .5, Seconds: 5}); fmt.Sprint(s) != fmt.Sprint(want) {
					t.Errorf("the generator was asked for %+v, want %+v", s, want)
				}
			}
			if x.Mark != c.mark {
				t.Errorf("mark %q, want %q", x.Mark, c.mark)
			}
			if fmt.Sprint(x.Blocked, x.Failed) != fmt.Sprint(c.blocked, c.failed) {
				t.Errorf("blocked %v, failed %v; want %v and %v", x.Blocked, x.Failed, c.blocked, c.failed)
			}
			generated := float64(len(c.results)) / 5
			if sum := x.Generated[0] + x.Generated[1]; math.Abs(sum-generated) > 1e-12 || math.Abs(sum-x.Carried[0]-x.Carried[1]-(x.Blocked[0]+x.Blocked[1])/5) > 1e-12 {
				t.Errorf("%v requests/s generated, %v carried, %v blocked in 5 s", x.Generated, x.Carried, x.Blocked)
			}
			if d := x.Endpoint[0]; len(c.results) > 0 && (d.Count != 1 || d.Mean != .02) || len(c.results) == 0 && !math.IsNaN(d.Mean) {
				t.Errorf("d11 is %+v", d)
			}
			if fmt.Sprint(p.applied) != fmt.Sprint(a) {
				t.Errorf("action %v was applied", p.applied)
			}
			// The next step has the next number, however often this one was made.
			if _, err := l.Measure(context.Background(), load, a); err != nil || g.steps[len(g.steps)-1].Number != 1 {
				t.Errorf("the next step has number %d: %v", g.steps[len(g.steps)-1].Number, err)
			}
		})
	}
}

// A step that cannot be made is an error with its number, not a row.
func TestLoopErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		p    plane
		g    script
	}{
		{"plane", plane{err: broken}, script{}},
		{"generator", plane{}, script{err: broken}},
	} {
		l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: paper, Plane: &c.p, Generator: &c.g})
		_, err := l.Measure(context.Background(), mesh.Load{5, 5}, paper.Default())
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "test: step 0: ") {
			t.Errorf("%s: step: error %v", c.name, err)
		}
		if err := l.Reset(context.Background(), 1); !errors.Is(err, broken) {
			t.Errorf("%s: reset: error %v", c.name, err)
		}
	}
}

// Calls of a request count at their endpoints, those of a request that failed
// later, too; what cannot be told counts for nothing.
func TestLoopCalls(t *testing.T) {
	m := mesh.Mesh{Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}}, Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
		{{Microservice: "web", Nodes: []string{"a", "b"}}}, {{Microservice: "store", Nodes: []string{"b"}}}}}}}
	space := mesh.Grid(m, 3)
	ok := result(0, 200, "", "", .5)
	ok.Calls = []call.Call{{Microservice: "web", Node: "b", Seconds: .1}, {Microservice: "store", Node: "b", Seconds: .4}}
	full := result(0, 503, "b", cause.Queue, .3)
	full.Calls = []call.Call{{Microservice: "web", Node: "a", Seconds: .2}}
	odd := result(0, 200, "", "", .7)
	odd.Calls = []call.Call{{Microservice: "cart", Node: "b", Seconds: 9}, {Microservice: "web", Node: "", Seconds: 9}, {Microservice: "store", Node: "a", Seconds: 9}}
	g := &script{results: []httpload.Result{ok, full, odd}}
	l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: space, TimeScale: 10, Plane: &plane{}, Generator: g, Run: "mine"})
	x, err := l.Measure(context.Background(), mesh.Load{20}, space.Default())
	if err != nil || x.Mark != "" || g.steps[0].Run != "mine" {
		t.Fatalf("mark %q, %v; run %q", x.Mark, err, g.steps[0].Run)
	}
	if d := x.Service[0]; d.Count != 2 || math.Abs(d.Mean-.6) > 1e-12 || x.Failed[0] != 1 {
		t.Errorf("%+v, %v failed", d, x.Failed)
	}
	for e, want := range []mesh.Delay{{Count: 1, Mean: .2}, {Count: 1, Mean: .1}, {Count: 1, Mean: .4}} {
		if d := x.Endpoint[e]; d.Count != want.Count || d.Mean != want.Mean {
			t.Errorf("%s is %+v, want %+v", space.Layout().EndpointName("d", e), d, want)
		}
	}
}

// However many reasons the failures of a step have, its mark stays short; and a
// load that no testbed serves makes no step.
func TestLoopBounds(t *testing.T) {
	g := &script{}
	for k := range 300 {
		g.results = append(g.results, result(0, 503, "node1", fmt.Sprintf("upstream %d", k/2%100), .1))
	}
	g.results = append(g.results, result(0, 503, "node1", "upstream 1", .1))
	l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: paper, TimeScale: 10, Plane: &plane{}, Generator: g})
	x, err := l.Measure(context.Background(), mesh.Load{20, 20}, paper.Default())
	if err != nil || len(x.Mark) > 400 || !strings.HasPrefix(x.Mark, "5 requests failed: node1 upstream 1; ") || !strings.Contains(x.Mark, " requests failed for 95 other reasons") {
		t.Errorf("%q, %v", x.Mark, err)
	}
	runs := len(g.steps)
	if _, err := l.Measure(context.Background(), mesh.Load{1e9, 20}, paper.Default()); err == nil || !strings.Contains(err.Error(), "accepted: at most 1000000 in a step") || len(g.steps) != runs {
		t.Errorf("1e9 requests/s: %v", err)
	}
}

// A step in which knobs are on their way is not made again: they would be
// further on.
func TestLoopPending(t *testing.T) {
	g := &script{results: []httpload.Result{result(0, 200, "node1", "", .02)}, late: 1}
	p := &plane{pending: []mesh.Pending{{}}}
	l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: paper, TimeScale: 10, Plane: p, Generator: g})
	x, err := l.Measure(context.Background(), mesh.Load{5, 5}, paper.Default())
	if err != nil || len(g.steps) != 1 || !strings.HasPrefix(x.Mark, "generator late") {
		t.Errorf("%d runs, mark %q, %v", len(g.steps), x.Mark, err)
	}
	if inForce, pending := l.InForce(); fmt.Sprint(inForce, l.Applied(), len(pending)) != fmt.Sprint(paper.Default(), paper.Default(), 1) {
		t.Errorf("%v in force, %v applied, pending %v", inForce, l.Applied(), pending)
	}
}

// meter is a plane whose first node works half of the time, and whose second
// one was started anew.
type meter struct {
	plane
	began time.Time
	calls int
}

func (m *meter) Worked(context.Context) []testbed.Work {
	m.calls++
	now := time.Now()
	time.Sleep(3 * time.Millisecond) // an answer that takes its time
	return []testbed.Work{{Seconds: now.Sub(m.began).Seconds() / 2, Until: now}, {Seconds: 9 - float64(m.calls), Until: now}}
}

// steady is a generator that takes its time.
type steady struct{ script }

func (s *steady) Run(ctx context.Context, step httpload.Step) ([]httpload.Result, error) {
	time.Sleep(30 * time.Millisecond)
	return s.script.Run(ctx, step)
}

func TestLoopBusy(t *testing.T) {
	l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Space: paper, Timing: control.Timing{Step: 2, Settle: 1}, TimeScale: 100,
		Plane: &meter{began: time.Now()}, Generator: &steady{}})
	if err := l.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	x, err := l.Measure(context.Background(), mesh.Load{5, 5}, paper.Default())
	if err != nil || math.Abs(x.Busy[0]-.5) > 1e-3 || !math.IsNaN(x.Busy[1]) {
		t.Errorf("%v busy, %v", x.Busy, err)
	}
	if e := l.Elapsed(); e < 3 || e > 1000 {
		t.Errorf("%v s have passed", e)
	}
}
