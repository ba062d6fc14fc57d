package local_test

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/pgtest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/trace"
)

// paper is the paper's scenario with databases that are filled in no time, and
// the given timing.
func paper(timing control.Timing) scenario.Scenario {
	s := scenario.Paper()
	s.Timing = timing
	for u := range s.Work {
		s.Work[u].Items = 50
	}
	return s
}

// quick is a testbed whose steps take a tenth of a second; the time-out leaves a
// busy machine 20 s.
func quick() local.Config {
	return local.Config{Scenario: paper(control.Timing{Step: 2, Settle: .1}), TimeScale: 20.0 / slower, Timeout: 400}
}

// A node, its database, or the database server of both nodes is stopped while a
// trace is collected. The steps meanwhile are marked with what failed and have
// no delays of the node, the other goes on, and the recovery is seen. On a busy
// machine other marks may come: those of a late generator.
func TestFaults(t *testing.T) {
	const stopped, started, steps = 4, 8, 12 // stopped before step 4, started before step 8
	for _, c := range []struct {
		name        string
		databases   func(t *testing.T) (dsn []string, server *pgtest.Server)
		stop, start func(b *local.Testbed, server *pgtest.Server) error
		marks       []string // in steps between stop and start, and in no other
		down        []int    // nodes that answer nothing meanwhile
	}{
		{
			name:  "node",
			stop:  func(b *local.Testbed, _ *pgtest.Server) error { b.StopNode(1); return nil },
			start: func(b *local.Testbed, _ *pgtest.Server) error { return b.StartNode(context.Background(), 1) },
			marks: []string{"requests failed: node2 node", "node2 is not ready: connect: connection refused"},
			down:  []int{1},
		},
		{
			name: "its database",
			stop: func(b *local.Testbed, _ *pgtest.Server) error { return b.StopDatabase(0) },
			start: func(b *local.Testbed, _ *pgtest.Server) error {
				b.StopNode(0)
				return b.StartNode(context.Background(), 0)
			},
			marks: []string{"requests failed: node1 database", "node1 is not ready: 503 Service Unavailable"},
			down:  []int{0},
		},
		{
			name: "PostgreSQL server",
			databases: func(t *testing.T) ([]string, *pgtest.Server) {
				s := pgtest.Start(t)
				return []string{s.DSN("node1"), s.DSN("node2")}, s
			},
			stop:  func(_ *local.Testbed, s *pgtest.Server) error { s.Stop(); return nil },
			start: func(_ *local.Testbed, s *pgtest.Server) error { s.Start(); return nil },
			marks: []string{"requests failed: node1 database", "requests failed: node2 database",
				"node1 is not ready: 503 Service Unavailable", "node2 is not ready: 503 Service Unavailable"},
			down: []int{0, 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := quick()
			var server *pgtest.Server
			if c.databases != nil {
				cfg.Databases, server = c.databases(t)
			}
			b := start(t, cfg)
			path := filepath.Join(t.TempDir(), "trace.csv")
			collection := testbed.Collection{Scenario: cfg.Scenario, Steps: steps, Reference: 1} // 10 requests/s of each service, on both nodes
			collection.Progress = func(row trace.Row) {
				var err error
				switch row.Step + 1 {
				case stopped:
					err = c.stop(b, server)
				case started:
					err = c.start(b, server)
				}
				if err != nil {
					t.Errorf("after step %d: %v", row.Step, err)
				}
			}
			if _, err := testbed.CollectFile(context.Background(), b, path, collection); err != nil {
				t.Fatal(err)
			}
			table, err := trace.Read(path, trace.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if table.Len() != steps {
				t.Fatalf("%d steps, want %d", table.Len(), steps)
			}
			for step := range steps {
				x := table.Row(step).Measurement
				faulty := step >= stopped && step < started
				late := strings.Contains(x.Mark, "generator late")
				for _, mark := range c.marks {
					if strings.Contains(x.Mark, mark) != faulty {
						t.Errorf("step %d is marked %q; %q in it: want %v", step, x.Mark, mark, faulty)
					}
				}
				for j := range table.Space().Mesh().N() {
					down := false
					for _, k := range c.down {
						down = down || faulty && k == j
					}
					for i := range table.Space().Mesh().M() {
						d := x.Endpoint[i*table.Space().Mesh().N()+j]
						if !down && late { // sent all at once, its requests may have met a full queue
							continue
						}
						if down != (d.Count == 0) || down != math.IsNaN(d.Mean) {
							t.Errorf("step %d: %v delays of mean %v s of service %d on node %d; down: %v", step, d.Count, d.Mean, i+1, j+1, down)
						}
					}
				}
				if faulty && (x.Failed[0] == 0 || x.Failed[1] == 0) {
					t.Errorf("step %d: %v requests failed", step, x.Failed)
				}
			}
		})
	}
}

// What New refuses, it says why in one line, and leaves nothing behind: no
// server, no directory.
func TestNewErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mesh.RegisterKind(mesh.KindInfo{Kind: "window", Scope: mesh.PerNode, Prefix: "w"})
	window := paper(control.Timing{})
	window.Knobs = append(window.Knobs, mesh.Knob{Kind: "window", Max: 2})
	for _, c := range []struct {
		name string
		cfg  local.Config
		want string
	}{
		{"front's port in use", local.Config{Front: taken.Addr().String()}, "address of the front: listen tcp " + taken.Addr().String() + ": bind: address already in use; give another"},
		{"node's port in use", local.Config{Nodes: []string{"127.0.0.1:0", taken.Addr().String()}}, "address of node2: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
		{"no address", local.Config{Front: "front"}, "address of the front"},
		{"one address", local.Config{Nodes: []string{"127.0.0.1:0"}}, "1 addresses for 2 nodes"},
		{"folder below a file", local.Config{Dir: filepath.Join(file, "databases")}, "directory for the databases: mkdir " + file + ": not a directory"},
		{"unwritable folder", local.Config{Dir: "/proc/databases"}, "directory for the databases: mkdir /proc/databases"},
		{"unreachable DSN", local.Config{Databases: []string{":memory:", "postgres://meshbench:pass@127.0.0.1:1/items"}}, "node2: service: database items on PostgreSQL at 127.0.0.1:1: "},
		{"one DSN", local.Config{Databases: []string{":memory:"}}, "1 databases for 2 nodes"},
		{"k below 0", local.Config{TimeScale: -1}, "time scale -1; accepted: 0.001 to 1000"},
		{"k not a number", local.Config{TimeScale: math.NaN()}, "time scale NaN"},
		{"k infinite", local.Config{TimeScale: math.Inf(1)}, "time scale +Inf"},
		{"step below 0", local.Config{Scenario: paper(control.Timing{Step: -5})}, "timing: step of -5 s"},
		{"no time-out that is a number", local.Config{Timeout: math.NaN()}, "timeout NaN s"},
		{"no scenario's name", local.Config{Scenario: scenario.Scenario{Mesh: mesh.New(2, 2)}}, `name: ""`},
		{"a kind of one's own", local.Config{Scenario: window}, "knob w1 is of kind window, which nothing here can set; accepted: route, block, replicas, cpu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			if c.cfg.Scenario.Mesh.M() == 0 {
				c.cfg.Scenario = paper(control.Timing{})
			}
			free := ""
			if c.cfg.Nodes == nil {
				free = freeAddress(t)
				c.cfg.Nodes = []string{free, "127.0.0.1:0"}
			}
			b, err := local.New(context.Background(), c.cfg)
			if err == nil {
				b.Close()
				t.Fatal("no error")
			}
			if s := err.Error(); !strings.HasPrefix(s, "local: ") || !strings.Contains(s, c.want) || strings.Contains(s, "\n") && c.name != "no scenario's name" {
				t.Errorf("error %q, want one line with %q", s, c.want)
			}
			if left, _ := os.ReadDir(temporary); len(left) > 0 {
				t.Errorf("%s was left", left[0].Name())
			}
			if free != "" {
				l, err := net.Listen("tcp", free)
				if err != nil {
					t.Fatalf("node1 still listens: %v", err)
				}
				l.Close()
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := local.New(ctx, quick()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted start: error %v", err)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A step with a load or an action that does not fit is not made, and the run
// goes on.
func TestMeasureErrors(t *testing.T) {
	b := start(t, quick())
	even := b.Space().Default()
	half := even.Clone()
	half[0] = .25
	for _, c := range []struct {
		load   mesh.Load
		action mesh.Action
		want   string
	}{
		{mesh.Load{5}, even, "1 loads for the 2 services"},
		{mesh.Load{5, -1}, even, "load l2 is -1"},
		{mesh.Load{math.NaN(), 5}, even, "load l1 is NaN"},
		{mesh.Load{1e7, 5}, even, "accepted: at most 1000000 in a step"},
		{mesh.Load{5, 5}, half, "sum to 0.75, not 1"},
	} {
		if _, err := b.Measure(context.Background(), c.load, c.action); err == nil || !strings.Contains(err.Error(), "local: step 0: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want one with %q", c.load, err, c.want)
		}
	}
	x, err := b.Measure(context.Background(), mesh.Load{20, 20}, even)
	if err != nil || x.Generated[0] == 0 {
		t.Errorf("the step after: %v requests/s, %v", x.Generated, err)
	}
}

// Every built-in scenario runs: each call of each service is answered by the
// nodes that its action names, and by no other.
func TestScenarios(t *testing.T) {
	for _, name := range scenario.List() {
		t.Run(name, func(t *testing.T) {
			s := open(t, name)
			s.Timing = control.Timing{Step: 2, Settle: .1}
			for u := range s.Work {
				s.Work[u].Items = 50
			}
			b := start(t, local.Config{Scenario: s, TimeScale: 4.0 / slower, Timeout: 400})
			space := b.Space()
			a := space.At(0) // all to the last node of each call
			if space.Len() > 1<<16 {
				a = space.Action(nil, make([]int, len(space.Choices())))
			}
			load := make(mesh.Load, len(s.Loads))
			for i, r := range s.Loads {
				load[i] = r.Min
			}
			x, err := b.Measure(context.Background(), load, a)
			if err != nil {
				t.Fatal(err)
			}
			if x.Mark != "" && !strings.Contains(x.Mark, "generator late") {
				t.Errorf("mark %q", x.Mark)
			}
			for i, d := range x.Service {
				if d.Count == 0 {
					t.Errorf("no request of service %d was answered: %v failed", i+1, x.Failed)
				}
			}
			for e, d := range x.Endpoint {
				at := space.Layout().Endpoints[e]
				k := e - space.Layout().Calls[at.Call].First
				if reached := space.RouteOf(a, at.Call)[k] > 0; reached != (d.Count > 0) {
					t.Errorf("%v answers at %s; reached: %v", d.Count, space.Layout().EndpointName("d", e), reached)
				}
			}
		})
	}
}

// Who asks the front during a step marks it.
func TestStranger(t *testing.T) {
	b := start(t, quick())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 {
			time.Sleep(5 * time.Millisecond)
			if resp, err := http.Get(b.URL() + "/service1/items/3"); err == nil {
				resp.Body.Close()
			}
		}
	}()
	marked := false
	for range 20 {
		x, err := b.Measure(context.Background(), mesh.Load{20, 20}, b.Space().Default())
		if err != nil {
			t.Fatal(err)
		}
		marked = marked || strings.Contains(x.Mark, "requests of others at the front")
		select {
		case <-done:
			if !marked {
				t.Error("no step was marked")
			}
			return
		default:
		}
	}
}
