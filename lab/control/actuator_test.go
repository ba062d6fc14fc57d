package control_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// printer is an actuator that only says what it would do.
type printer struct{ space *mesh.Space }

func (p printer) Kind() mesh.Kind        { return mesh.Route }
func (p printer) Needs() []control.Right { return nil }
func (p printer) Apply(_ context.Context, a mesh.Action) error {
	for c := range p.space.Layout().Calls {
		fmt.Println(p.space.Layout().CallName(c), p.space.RouteOf(a, c))
	}
	return nil
}
func (p printer) Follow(context.Context) error { return nil }

func ExampleActuator() {
	space, err := mesh.NewSpace(mesh.New(2, 2), mesh.Knob{Kind: mesh.Route})
	if err != nil {
		panic(err)
	}
	list := []control.Actuator{printer{space}}
	fmt.Println(control.CheckKnobs(space, list), control.CheckKnobs(mesh.Grid(mesh.New(2, 2), 0), list))
	list[0].Apply(context.Background(), space.At(1))
	// Output:
	// <nil> knob b1 is of kind block, which nothing here can set; accepted: route
	// service1 [0 1]
	// service2 [0.2 0.8]
}
