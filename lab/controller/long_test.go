package controller_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/testbed/local"
)

var (
	long       = flag.Bool("long", false, "run the local testbed for -minutes")
	minutes    = flag.Float64("minutes", 30, "of the mesh's clock")
	timescale  = flag.Float64("timescale", 10, "of the local testbed")
	policyFile = flag.String("policy", "", "file of a policy for scenario paper")
	modelFile  = flag.String("model", "", "file of a model")
	slack      = flag.Float64("slack", 1, "goals of the guard, as multiples of the scenario's; above 1, for a busy machine, the look for drift is coarser, too")
	listen     = flag.String("listen", "127.0.0.1:8096", "address of the status page")
)

// disturbed is the local testbed whose measurements may be cut off.
type disturbed struct {
	*local.Testbed
	step    int
	disturb func(step int) error
}

func (d *disturbed) Measure(ctx context.Context, l mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	err := d.disturb(d.step)
	d.step++
	x, e := d.Testbed.Measure(ctx, l, a)
	if err != nil {
		return mesh.Measurement{}, err
	}
	return x, e
}

// TestLong has a learned policy in charge of the local testbed, and provokes each
// guard: what each did within how many steps, and what the traffic saw, is in its
// log. On a machine with other work goals are missed without any of that.
func TestLong(t *testing.T) {
	if !*long {
		t.Skip("half an hour of the mesh's clock; -long -policy FILE -model FILE")
	}
	p, err := artefact.Open(*policyFile, space)
	if err != nil {
		t.Fatal(err)
	}
	m, err := artefact.Open(*modelFile, space)
	if err != nil {
		t.Fatal(err)
	}
	bed, err := local.New(context.Background(), local.Config{Scenario: paper, TimeScale: *timescale})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	steps := int(*minutes * 60 / paper.Timing.Seconds())
	at := func(share float64) int { return int(share * float64(steps)) }
	type event struct {
		what     string
		from, to int
	}
	slow := event{"node1 at a third of its speed", at(.30), at(.42)}
	cut := event{"measurements cut off", at(.55), at(.55) + 6}
	surge := event{"load outside", at(.70), at(.70) + 8}
	down := event{"node2 down", at(.85), at(.85) + 6}
	in := func(e event, step int) bool { return step >= e.from && step < e.to }
	d := &disturbed{Testbed: bed, disturb: func(step int) error {
		now := change.As(bed.Space().Layout())
		switch step {
		case slow.from, slow.to:
			if step == slow.from {
				now.Speed[0] = 1. / 3
			}
			if err := bed.Change(context.Background(), now); err != nil {
				t.Error(err)
			}
		case down.from:
			bed.StopNode(1)
		case down.to:
			if err := bed.StartNode(context.Background(), 1); err != nil {
				t.Error(err)
			}
		}
		if in(cut, step) {
			return errors.New("the measurements do not come")
		}
		return nil
	}}
	quiet := load.Sinusoidal{Ranges: paper.Loads, Period: 120}
	offered := pattern(func(step int) mesh.Load {
		if in(surge, step) {
			return mesh.Load{45, 30}
		}
		return quiet.At(nil, 1, step)
	})
	times := make([]float64, len(paper.Work))
	for k, w := range paper.Work {
		times[k] = w.Time
	}
	var all []controller.Entry
	drift := &controller.Drift{Model: m.Model}
	if *slack > 1 {
		drift.Chart.Slack, drift.Chart.Threshold = 1, 25
	}
	goals := []float64{*slack * paper.Targets[0].Goal, *slack * paper.Targets[1].Goal}
	c, err := controller.New(controller.Config{
		Mesh:   &controller.Offered{System: d, Pattern: offered, Seed: 1},
		Policy: p.Policy, Fallback: policy.Proportional{Space: space, Time: times},
		Checks: []controller.Check{&controller.Missing{}, &controller.Outside{Loads: paper.Loads, Names: names, Seconds: 5},
			&controller.Missed{Goals: goals, Names: names, Steps: 15}, drift},
		Steps:    steps,
		OnStep:   func(e controller.Entry) { all = append(all, e) },
		OnSwitch: func(s controller.Switch) { t.Logf("from step %d on: %s (%s)", s.Step, s.To, s.Why) },
		Names:    controller.Names{Title: "TestLong", Testbed: "local", Services: names, Goals: goals},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Lead(true, "")
	server := &http.Server{Addr: *listen, Handler: c.Handler(), ReadHeaderTimeout: time.Second}
	go server.ListenAndServe()
	defer server.Close()
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	switched := c.Status().Switches
	for _, e := range []event{{"nothing", 60, slow.from}, slow, cut, surge, down} {
		within := "none"
		for _, s := range switched {
			if s.To == controller.ByFallback && s.Step > e.from && s.Step <= e.to+2 {
				within = fmt.Sprintf("after %d steps, %.60s", s.Step-e.from, s.Why)
				break
			}
		}
		back := slices.IndexFunc(switched, func(s controller.Switch) bool { return s.To == controller.ByPolicy && s.Step >= e.to })
		if back >= 0 {
			within += fmt.Sprintf("; back %d steps after its end", switched[back].Step-e.to)
		}
		t.Logf("%s, steps %d to %d: fallback %s", e.what, e.from, e.to, within)
		for _, charge := range []string{controller.ByPolicy, controller.ByFallback} {
			t.Logf("  under the %s: %s", charge, traffic(all[e.from:e.to], charge))
		}
		if e.what != "nothing" && within == "none" {
			t.Errorf("%s: the guard saw nothing", e.what)
		}
	}
}

// traffic is what users saw in the steps of who was in charge.
func traffic(all []controller.Entry, charge string) string {
	n, text := 0, ""
	for i := range names {
		delay, carried, of, measured := 0.0, 0.0, 0.0, 0.0
		n = 0
		for _, e := range all {
			if e.Charge != charge {
				continue
			}
			n++
			if i >= len(e.Delay) {
				continue
			}
			carried, of = carried+float64(e.Carried[i]), of+float64(e.Load[i])
			if d := float64(e.Delay[i]); !math.IsNaN(d) {
				delay, measured = delay+d, measured+1
			}
		}
		text += fmt.Sprintf("; %s %.0f ms, %.0f %% let in", names[i], 1e3*delay/measured, 100*carried/of)
	}
	return fmt.Sprintf("%d steps%s", n, text)
}
