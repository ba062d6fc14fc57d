package mesh_test

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

// The paper's action space, enumerated with the last component fastest.
func ExampleSpace() {
	m := mesh.Mesh{}
	space := mesh.NewSpace(m, 0)
	fmt.Println(space.Len(), "actions, heads", space.Heads())
	for _, k := range []int{0, 1, 6, 217} {
		fmt.Println(space.Choice(nil, k), m.FormatAction(space.At(k)))
	}
	// Output:
	// 1296 actions, heads [6 6 6 6]
	// [0 0 0 0] p11=0 p21=0 b1=0 b2=0
	// [0 0 0 1] p11=0 p21=0 b1=0 b2=0.2
	// [0 0 1 0] p11=0 p21=0 b1=0.2 b2=0
	// [1 0 0 1] p11=0.2 p21=0 b1=0 b2=0.2
}

// A fractional action is moved to the grid without losing the sum of its
// weights.
func ExampleSpace_Nearest() {
	m := mesh.New(1, 3)
	space := mesh.NewSpace(m, 0)
	a := mesh.Action{Route: []float64{.5, .25, .25}, Block: []float64{.13}}
	fmt.Println(m.FormatAction(space.At(space.Nearest(a))))
	// Output: p11=0.6 p12=0.2 b1=0.2
}

func ExampleMesh_FeatureNames() {
	fmt.Println(mesh.Mesh{}.FeatureNames())
	fmt.Println(mesh.New(2, 3).FeatureNames())
	// Output:
	// [l1 l2 p11 p21 b1 b2]
	// [l1 l2 p11 p12 p21 p22 b1 b2]
}

func ExampleAction_Validate() {
	a := mesh.Action{Route: []float64{.4, .4, 0, 1}, Block: []float64{0, 0}}
	fmt.Println(a.Validate(mesh.Mesh{}))
	// Output: mesh: action: the weights of service1 sum to 0.8, not 1
}
