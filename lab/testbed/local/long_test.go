package local_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

var (
	long  = flag.Bool("long", false, "run the long statistical tests")
	steps = flag.Int("steps", 60, "steps of each cell in them")
	scale = flag.Float64("scale", 10, "time scale of the local testbed in TestLongVirtual; less where the machine is busy")
)

// cells are light, middling and well-used settings of a scenario, none of them
// so near saturation that a mean over minutes is a matter of luck.
var cells = map[string][]struct {
	load   mesh.Load
	action mesh.Action
}{
	"paper": {
		{mesh.Load{5, 5}, mesh.Action{1, 0, 0, 1, 0, 0}},
		{mesh.Load{10, 10}, mesh.Action{.6, .4, .4, .6, .2, .4}},
		{mesh.Load{20, 5}, mesh.Action{.8, .2, .2, .8, 0, 0}},
		{mesh.Load{20, 20}, mesh.Action{1, 0, 0, 1, 0, .6}},
	},
	// web(web-a, web-b) > logic(logic-a, logic-b) > store(store-a, store-b)
	"chain": {
		{mesh.Load{10}, mesh.Action{1, 0, 0, 1, .4, .6, 0}},
		{mesh.Load{30}, mesh.Action{.4, .6, .4, .6, .6, .4, 0}},
		{mesh.Load{50}, mesh.Action{.4, .6, .6, .4, .6, .4, 0}},
		{mesh.Load{90}, mesh.Action{.6, .4, .4, .6, .8, .2, .4}},
	},
	// browse: frontend(edge-a, edge-b) > stock(core-a, core-b);
	// order: frontend(edge-a, edge-b) > users(core-a, core-b) + stock(core-a, core-b)
	"graph": {
		{mesh.Load{5, 5}, mesh.Action{1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0}},
		{mesh.Load{15, 10}, mesh.Action{.6, .4, .6, .4, .4, .6, .4, .6, .6, .4, 0, 0}},
		{mesh.Load{30, 15}, mesh.Action{.4, .6, .6, .4, .6, .4, .6, .4, .6, .4, 0, 0}},
		{mesh.Load{40, 30}, mesh.Action{.6, .4, .8, .2, .4, .6, .4, .6, .8, .2, .2, .4}},
	},
	"autoscale": {
		{mesh.Load{4}, mesh.Action{1}},
		{mesh.Load{7}, mesh.Action{1}},
		{mesh.Load{15}, mesh.Action{2}},
		{mesh.Load{24}, mesh.Action{3}},
		{mesh.Load{42}, mesh.Action{5}},
	},
	// compute and information, each at node1 and node2, and both nodes' cores
	"vertical": {
		{mesh.Load{1, 5}, mesh.Action{.4, .6, .6, .4, 1, 1}},
		{mesh.Load{4, 15}, mesh.Action{.6, .4, .4, .6, 2, 3}},
	},
}

// sums adds up the delays of steps.
type sums struct{ seconds, count float64 }

func (s *sums) add(d mesh.Delay) {
	if d.Count > 0 {
		s.seconds += d.Mean * d.Count
		s.count += d.Count
	}
}

// means measures a cell for the given number of steps and returns the mean
// delays of services and endpoints over all requests.
func means(t *testing.T, s control.System, load mesh.Load, a mesh.Action, seed uint64, steps int) (service, endpoint []float64) {
	t.Helper()
	ctx := context.Background()
	if err := s.Reset(ctx, seed); err != nil {
		t.Fatal(err)
	}
	l := s.Space().Layout()
	total := make([]sums, len(load)+len(l.Endpoints))
	for k := range steps + startUp(s) {
		x, err := s.Measure(ctx, load, a)
		if err != nil {
			t.Fatal(err)
		}
		if k < startUp(s) {
			continue
		}
		if x.Mark != "" { // no measure of the mesh
			t.Logf("%v: left out: %s", load, x.Mark)
			continue
		}
		for i, d := range x.Service {
			total[i].add(d)
		}
		for e, d := range x.Endpoint {
			total[len(load)+e].add(d)
		}
	}
	all := make([]float64, len(total))
	for k, x := range total {
		all[k] = x.seconds / x.count
	}
	return all[:len(load)], all[len(load):]
}

// startUp is how many steps go by before an action is in force, and one more.
func startUp(s control.System) int {
	if !s.Space().Slow() {
		return 0
	}
	return 8 // of 5 s; replicas take 30
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func start(t *testing.T, cfg local.Config) *local.Testbed {
	t.Helper()
	b, err := local.New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// compare shows the mean delays of whole paths and of single calls on two
// testbeds. Those of paths must agree in cells from first on.
func compare(t *testing.T, steps, first int, tolerance float64, a, b control.System, name string) {
	l := a.Space().Layout()
	for c, cell := range cells[name] {
		begin, used := time.Now(), cpu()
		x, xe := means(t, a, cell.load, cell.action, uint64(c), steps)
		share := (cpu() - used).Seconds() / time.Since(begin).Seconds()
		y, ye := means(t, b, cell.load, cell.action, uint64(c), steps)
		line := fmt.Sprintf("%s %v %s (%.0f%% of one core):", name, cell.load, a.Space().Format(cell.action), 100*share)
		off := 0.0
		for e := range xe {
			if ye[e] > 0 && math.Abs(xe[e]/ye[e]-1) > math.Abs(off) {
				off = xe[e]/ye[e] - 1
			}
		}
		for i := range x {
			line += fmt.Sprintf("  %s %.4f %s, %.4f %s, %+.1f%%", l.Mesh.DelayName(i), x[i], a.Name(), y[i], b.Name(), 100*(x[i]/y[i]-1))
			if c >= first && !(math.Abs(x[i]/y[i]-1) <= tolerance) {
				t.Errorf("cell %d: d%d is %.4f s (%s) and %.4f s (%s)", c, i+1, x[i], a.Name(), y[i], b.Name())
			}
		}
		t.Logf("%s; calls off by %+.1f%% at most", line, 100*off)
	}
}

func open(t *testing.T, name string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func simulated(t *testing.T, s scenario.Scenario) *virtual.Testbed {
	v, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The virtual testbed is offered the same requests, so its delays must be those
// of the local one but for the time that HTTP takes.
func TestLongVirtual(t *testing.T) {
	if !*long {
		t.Skip("two to three minutes at k = 10 for each of five scenarios: run with -long")
	}
	for _, name := range []string{"paper", "chain", "graph", "autoscale", "vertical"} {
		t.Run(name, func(t *testing.T) {
			s := open(t, name)
			compare(t, *steps, 0, .15, start(t, local.Config{Scenario: s, TimeScale: *scale}), simulated(t, s), name)
		})
	}
}

func TestLongTimeScale(t *testing.T) {
	if !*long {
		t.Skip("25 minutes at k = 1: run with -long")
	}
	// A request takes about .4 ms of real time in HTTP that the emulated link
	// does not cover: 4 ms at k = 10, more than a tenth of the 33 ms that it
	// spends in the lightest cell.
	s := open(t, "paper")
	compare(t, *steps, 1, .10, start(t, local.Config{Scenario: s, TimeScale: 10}), start(t, local.Config{Scenario: s, TimeScale: 1}), "paper")
}
