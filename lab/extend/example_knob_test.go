package extend_test

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
)

func init() {
	mesh.RegisterKind(mesh.KindInfo{
		Kind:   "cache",
		Scope:  mesh.PerNode,
		Prefix: "cache",
		Check: func(values []float64) error {
			if v := values[0]; !(v >= 0 && v <= 1) {
				return fmt.Errorf("%v is not a share of a node's memory", v)
			}
			return nil
		},
	})
}

// A kind of knob of one's own, the share of a node's memory that is its cache:
// spaces, files, learners and searches know it, and one line of a model says what
// it does.
func ExampleKind() {
	space, err := mesh.NewSpace(mesh.New(2, 2), mesh.Knob{Kind: mesh.Route, Levels: 3},
		mesh.Knob{Kind: "cache", Max: 1, By: .5, Cost: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(space.Columns(), space.Len(), "actions")
	o := objective.Useful("useful", space.Mesh().ServiceNames(), []objective.Target{{Goal: .020}, {Goal: .020}})
	rewards, err := optimum.NewRewards(linear{space}, o, optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	best, err := rewards.Best(mesh.Load{20, 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s pays %.0f and costs %.0f\n", space.Format(best.Action), best.Reward, space.Cost(best.Action))
	fmt.Println(space.Validate(mesh.Action{.5, .5, .5, .5, 0, 1.5}))
	// Output:
	// [p11 p12 p21 p22 cache1 cache2] 81 actions
	// p11=0 p21=0.5 cache1=0 cache2=1 pays 40 and costs 2
	// mesh: action: cache2 of node2: 1.5 is not a share of a node's memory
}
