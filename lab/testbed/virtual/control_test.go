package virtual_test

import (
	"context"
	"flag"
	"math"
	"testing"

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
