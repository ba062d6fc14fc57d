package extend_test

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
)

// An objective is a sum of products where that will do, and then is data; else a
// function of what every service got: here the share of its load that the worse
// served of two services gets in time.
func ExampleObjective() {
	space := mesh.Grid(mesh.New(2, 2), 6)
	fair := objective.Objective{
		Name:    "fair",
		Version: "1", // own functions without one are not cached
		Targets: []objective.Target{{Goal: .025}, {Goal: .030}},
		Reward: func(s []objective.Outcome, _ objective.Step) float64 {
			worst := math.Inf(1)
			for _, x := range s {
				worst = min(worst, x.Carried/x.Offered*x.Utility)
			}
			return worst
		},
	}
	rewards, err := optimum.NewRewards(linear{space}, fair, optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range []mesh.Load{{10, 10}, {20, 20}, {40, 20}} {
		best, err := rewards.Best(l)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %.1f by %s\n", l, best.Reward, space.Format(best.Action))
	}
	// Output:
	// [10 10]: 1.0 by p11=0 p21=0.6 b1=0 b2=0
	// [20 20]: 0.8 by p11=0.2 p21=1 b1=0 b2=0.2
	// [40 20]: 0.5 by p11=0.4 p21=1 b1=0.4 b2=0.4
}
