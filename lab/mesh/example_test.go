package mesh_test

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

func ExampleSpace() {
	space := mesh.Grid(mesh.New(2, 2), 6)
	fmt.Println(space)
	fmt.Println(space.Len(), "actions; choices", space.Choices())
	fmt.Println(space.Format(space.At(1)), "|", space.Format(space.At(1295)))
	fmt.Println(space.FeatureNames())
	// Output:
	// service1,service2 on node1,node2; p11 p12 p21 p22 b1 b2
	// 1296 actions; choices [6 6 6 6]
	// p11=0 p21=0 b1=0 b2=0.2 | p11=1 p21=1 b1=1 b2=1
	// [l1 l2 p11 p21 b1 b2]
}

// A chain of two stages, the second of which calls two microservices in
// parallel; the front blocks, and only one of the calls is routed.
func ExampleNewSpace() {
	m := mesh.Mesh{
		Nodes: []mesh.Node{{Name: "a"}, {Name: "b", Speed: 2}, {Name: "c"}},
		Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
			{{Microservice: "web", Nodes: []string{"a", "b"}}},
			{{Microservice: "cart", Nodes: []string{"a", "c"}}, {Microservice: "price", Nodes: []string{"c"}}},
		}}},
	}
	space, err := mesh.NewSpace(m, mesh.Knob{Kind: mesh.Route, Call: "web", Levels: 11}, mesh.Knob{Kind: mesh.Block, Levels: 3},
		mesh.Knob{Kind: mesh.Replicas, Node: "a", Min: 1, Max: 5, Step: 1, Up: 30})
	fmt.Println(space, err)
	fmt.Println(space.Layout().DelayNames())
	a := space.Action(nil, space.Nearest(space.Default()))
	fmt.Println(space.Len(), space.Format(a))
	allowed := make([]bool, 5)
	space.Allowed(allowed, 2, a)
	fmt.Println(allowed)
	// Output:
	// shop: web(a,b) > cart(a,c) + price(c) on a,b,c; p1.1.1 p1.1.2 b1 r1 <nil>
	// [d1.1.1 d1.1.2 d1.2.1 d1.2.3 d1.3.3]
	// 165 p1.1.1=0.5 b1=0 r1=1
	// [true true false false false]
}
