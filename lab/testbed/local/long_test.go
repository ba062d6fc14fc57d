package local_test

import (
	"context"
	"flag"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

var long = flag.Bool("long", false, "run the long statistical tests")

// cells are a light, a middling and a well-used setting of the mesh, none of
// them so near saturation that a mean over a minute is a matter of luck.
var cells = []struct {
	load   mesh.Load
	action mesh.Action
}{
	{mesh.Load{5, 5}, mesh.Action{Route: []float64{1, 0, 0, 1}, Block: []float64{0, 0}}},
	{mesh.Load{10, 10}, mesh.Action{Route: []float64{.6, .4, .4, .6}, Block: []float64{.2, .4}}},
	{mesh.Load{20, 5}, mesh.Action{Route: []float64{.8, .2, .2, .8}, Block: []float64{0, 0}}},
	{mesh.Load{20, 20}, mesh.Action{Route: []float64{1, 0, 0, 1}, Block: []float64{0, .6}}},
}

// means measures a cell for the given number of steps and returns d_1 and d_2
// over all requests.
func means(t *testing.T, s sim.System, c int, steps int) [2]float64 {
	t.Helper()
	ctx := context.Background()
	if err := s.Reset(ctx, uint64(c)); err != nil {
		t.Fatal(err)
	}
	var sum, count [2]float64
	for range steps {
		x, err := s.Measure(ctx, cells[c].load, cells[c].action)
		if err != nil {
			t.Fatal(err)
		}
		if x.Mark != "" {
			t.Logf("cell %d: %s", c, x.Mark)
		}
		for i := range sum {
			if x.Service[i].Count > 0 {
				sum[i] += x.Service[i].Mean * x.Service[i].Count
				count[i] += x.Service[i].Count
			}
		}
	}
	return [2]float64{sum[0] / count[0], sum[1] / count[1]}
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

// The virtual testbed is offered the same requests, so its delays must be those
// of the local one but for the time that HTTP takes.
//
// Cells from first on must agree; all are shown.
func compare(t *testing.T, steps, first int, tolerance float64, a, b sim.System) {
	t.Logf("%-34s %10s %10s %7s %10s %10s %7s", "load and action", "d1 "+a.Name(), "d1 "+b.Name(), "", "d2 "+a.Name(), "d2 "+b.Name(), "")
	for c := range cells {
		begin, used := time.Now(), cpu()
		x := means(t, a, c, steps)
		share := (cpu() - used).Seconds() / time.Since(begin).Seconds()
		y := means(t, b, c, steps)
		t.Logf("%v %-26s %10.4f %10.4f %6.1f%% %10.4f %10.4f %6.1f%%   (%.0f%% of one core)", cells[c].load, mesh.Mesh{}.FormatAction(cells[c].action),
			x[0], y[0], 100*(x[0]/y[0]-1), x[1], y[1], 100*(x[1]/y[1]-1), 100*share)
		for i := range x {
			if c >= first && math.Abs(x[i]/y[i]-1) > tolerance {
				t.Errorf("cell %d: d%d is %.4f s (%s) and %.4f s (%s)", c, i+1, x[i], a.Name(), y[i], b.Name())
			}
		}
	}
}

func simulated(t *testing.T) *virtual.Testbed {
	v, err := virtual.New(virtual.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLongVirtual(t *testing.T) {
	if !*long {
		t.Skip("two minutes at k = 10: run with -long")
	}
	compare(t, 60, 0, .15, start(t, local.Config{}), simulated(t))
}

func TestLongTimeScale(t *testing.T) {
	if !*long {
		t.Skip("25 minutes at k = 1: run with -long")
	}
	// A request takes about .4 ms of real time in HTTP that the emulated link
	// does not cover: 4 ms at k = 10, more than a tenth of the 33 ms that it
	// spends in the lightest cell.
	compare(t, 60, 1, .10, start(t, local.Config{TimeScale: 10}), start(t, local.Config{TimeScale: 1}))
}
