package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

// plane is one that does as it is told, or fails.
type plane struct {
	applied mesh.Action
	err     error
	faults  []string
}

func (p *plane) Apply(_ context.Context, a mesh.Action) error { p.applied = a; return p.err }
func (p *plane) Reset(context.Context, uint64) error          { return p.err }
func (p *plane) Faults(context.Context) []string              { return p.faults }

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
		{"overload", []httpload.Result{ok, result(0, 429, "", service.FailureBlocked, .001), result(1, 503, "node2", service.FailureQueue, .001)},
			0, nil, 1, 0, "", []float64{1, 0}, []float64{0, 1}},
		{"faults", []httpload.Result{ok, result(1, 502, "node2", service.FailureNode, .001), result(0, 500, "node1", service.FailureDatabase, .001),
			result(0, 0, "", "time-out", 10), result(1, 502, "node2", service.FailureNode, .001)}, 0, []string{"node2 is not ready: connection refused"}, 1, 0,
			"1 requests failed: node1 database; 2 requests failed: node2 node; 1 requests failed: time-out; node2 is not ready: connection refused",
			[]float64{0, 0}, []float64{2, 2}},
		{"late once", []httpload.Result{ok}, 1, nil, 2, 1, "", []float64{0, 0}, []float64{0, 0}},
		{"late always", []httpload.Result{ok}, 100, []string{"node1 is not ready"}, 6, 5, "generator late: 8 ms on average; node1 is not ready", []float64{0, 0}, []float64{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &script{results: c.results, late: c.late}
			p := &plane{faults: c.faults}
			l := testbed.NewLoop(testbed.LoopConfig{Name: "test", TimeScale: 10, Plane: p, Generator: g})
			load, a := mesh.Load{5, 20}, mesh.Even(mesh.Mesh{})
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
			if d := x.Node[0]; len(c.results) > 0 && (d.Count != 1 || d.Mean != .02) || len(c.results) == 0 && !math.IsNaN(d.Mean) {
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
		l := testbed.NewLoop(testbed.LoopConfig{Name: "test", Plane: &c.p, Generator: &c.g})
		_, err := l.Measure(context.Background(), mesh.Load{5, 5}, mesh.Even(mesh.Mesh{}))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "test: step 0: ") {
			t.Errorf("%s: step: error %v", c.name, err)
		}
		if err := l.Reset(context.Background(), 1); !errors.Is(err, broken) {
			t.Errorf("%s: reset: error %v", c.name, err)
		}
	}
}
