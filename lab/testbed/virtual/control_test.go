package virtual_test

import (
	"context"
	"flag"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

var (
	long  = flag.Bool("long", false, "run the long statistical tests")
	steps = flag.Int("steps", 250, "replications of each cell in TestLongControlMatters")
)

// Control matters on this mesh: no constant action comes near what an action
// for each load gives, and a random policy is far off. Actions are chosen by
// one half of the replications and scored by the other.
func TestLongControlMatters(t *testing.T) {
	if !*long {
		t.Skip("10 million steps, 2 minutes: run with -long")
	}
	paper := scenario.Paper().Defaults()
	space := paper.MustSpace()
	var actions []mesh.Action
	for k := range space.Len() {
		actions = append(actions, space.At(k))
	}
	loads := paper.Loads.Grid(100)
	half := func(seed uint64) [][][]float64 {
		r, err := virtual.Rewards(context.Background(), virtual.TruthConfig{Virtual: virtual.Config{Scenario: paper}, Steps: *steps, Seed: seed}, loads, actions, paper.Objectives)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	choose, score := half(1), half(2)
	limits := []float64{.90, .80, .95}
	for o, mo := range paper.Objectives {
		greedy := make([]int, len(loads))
		for l := range loads {
			for k := range actions {
				if choose[o][l][k] > choose[o][l][greedy[l]] {
					greedy[l] = k
				}
			}
		}
		// anr is the mean over the loads of reward by optimum.
		anr := func(r [][]float64, k int) float64 {
			sum := 0.0
			for l := range loads {
				sum += r[l][k] / r[l][greedy[l]]
			}
			return sum / float64(len(loads))
		}
		best, random := 0, 0.0
		for k := range actions {
			if anr(choose[o], k) > anr(choose[o], best) {
				best = k
			}
			random += anr(score[o], k) / float64(len(actions))
		}
		constant := anr(score[o], best)
		t.Logf("%s: best constant %.3f (%s), random %.3f", mo.Name, constant, space.Format(actions[best]), random)
		for _, l := range []int{0, 3, 12, 15} {
			t.Logf("    %v: %.2f by %s", loads[l], score[o][l][greedy[l]], space.Format(actions[greedy[l]]))
		}
		if constant > limits[o] {
			t.Errorf("%s: the best constant action has ANR %.3f, above %.2f", mo.Name, constant, limits[o])
		}
		if random > .59 {
			t.Errorf("%s: a random policy has ANR %.3f", mo.Name, random)
		}
	}
}

// At light load three cores in all are best, and pay what the published formula
// gives: 2 - 1/8 (Samani and Stadler, TNSM 2024, scenario 4).
func TestVertical(t *testing.T) {
	s := open(t, "vertical").Defaults()
	space := s.MustSpace()
	actions := make([]mesh.Action, space.Len())
	for k := range actions {
		actions[k] = space.At(k)
	}
	all, err := virtual.Rewards(context.Background(), virtual.TruthConfig{Virtual: virtual.Config{Scenario: s}, Steps: 8}, []mesh.Load{{1, 5}}, actions, s.Objectives[:1])
	if err != nil {
		t.Fatal(err)
	}
	best := 0
	for k, r := range all[0][0] {
		if r > all[0][0][best] {
			best = k
		}
	}
	cores := space.Value(actions[best], mesh.CPU, 0, 0) + space.Value(actions[best], mesh.CPU, 1, 0)
	if math.Abs(all[0][0][best]-1.875) > .005 || cores != 3 {
		t.Errorf("%s pays %v, want 3 cores and 1.875", space.Format(actions[best]), all[0][0][best])
	}
}

// Under a condition a node is as fast, and its replicas are as late, as it says;
// Reset undoes it.
func TestChange(t *testing.T) {
	s := queue(.020, mesh.Knob{Kind: mesh.CPU, Points: [][]float64{{1}, {2}}})
	v := start(t, s)
	l := v.Space().Layout()
	mean := func(c change.Condition, load float64) mesh.Measurement {
		t.Helper()
		if err := v.Reset(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
		if err := v.Change(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		sum, n := 0.0, 0.0
		var x mesh.Measurement
		for range 300 {
			x = measure(t, v, mesh.Load{load}, mesh.Action{1, 0})
			if x.Service[0].Count > 0 {
				sum, n = sum+x.Service[0].Mean*x.Service[0].Count, n+x.Service[0].Count
			}
		}
		x.Service[0].Mean = sum / n
		return x
	}
	as := mean(change.As(l), 20).Service[0].Mean
	slow, heavy := change.As(l), change.As(l)
	slow.Speed[0], heavy.Work[0] = .5, 2
	// In slow motion: half of the load takes twice the time.
	for _, c := range []change.Condition{slow, heavy} {
		if d := mean(c, 10).Service[0].Mean; math.Abs(d/(2*as)-1) > .05 {
			t.Errorf("%s: %v s at half of the load, want about %v", c.Say(l), d, 2*as)
		}
	}
	lost := change.As(l)
	lost.Speed[0] = 0
	if x := mean(lost, 10); x.Service[0].Count != 0 || x.Failed[0] == 0 {
		t.Errorf("a lost node answered %v requests, %v failed", x.Service[0].Count, x.Failed[0])
	}
	if err := v.Reset(context.Background(), 3); err != nil {
		t.Fatal(err)
	}
	if x := measure(t, v, mesh.Load{10}, mesh.Action{1, 0}); x.Service[0].Count == 0 {
		t.Error("Reset left the node lost")
	}
	if err := v.Change(context.Background(), change.Condition{}); err == nil {
		t.Error("a condition of no mesh was accepted")
	}
}

// Replicas that start slowly are in force later, and nothing says so before.
func TestLateStartUp(t *testing.T) {
	s := open(t, "autoscale").Defaults()
	v := start(t, s)
	if err := v.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	c := change.As(v.Space().Layout())
	c.StartUp[0] = 3
	if err := v.Change(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	for k := range 19 {
		measure(t, v, mesh.Load{4}, mesh.Action{2})
		now, pending := v.InForce()
		switch at := v.Elapsed(); {
		case at < 89 && (now[0] != 1 || len(pending) != 1 || math.Abs(pending[0].Left-max(0, 30-at)) > 1e-6):
			t.Fatalf("step %d, %v s: %v in force, %v on its way", k, at, now, pending)
		case at > 90.5 && now[0] != 2:
			t.Fatalf("step %d, %v s: %v in force", k, at, now)
		}
	}
}
