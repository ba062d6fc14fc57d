package controller_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// failures is a check of one's own: it objects as long as requests fail.
type failures struct{ last float64 }

func (f *failures) Name() string { return "failures" }

func (f *failures) State() string { return fmt.Sprintf("%.0f failed", f.last) }

func (f *failures) Look(s controller.Step) string {
	f.last = 0
	for _, n := range s.Measurement.Failed {
		f.last += n
	}
	if f.last > 0 {
		return "requests fail"
	}
	return ""
}

// A policy that sends all to one node is taken out of charge as soon as that node
// turns requests away.
func Example() {
	s := scenario.Paper()
	bed, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		panic(err)
	}
	c, err := controller.New(controller.Config{
		Mesh:     &controller.Offered{System: bed, Pattern: load.Constant{Load: mesh.Load{20, 20}}, Seed: 1},
		Policy:   policy.Static{Action: mesh.Action{1, 0, 1, 0, 0, 0}},
		Fallback: policy.Static{Action: mesh.Action{.6, .4, .4, .6, 0, .4}},
		Checks:   []controller.Check{&failures{}},
		Return:   50,
		Steps:    30,
		OnSwitch: func(s controller.Switch) { fmt.Printf("step %d: %s, %s\n", s.Step, s.To, s.Why) },
	})
	if err != nil {
		panic(err)
	}
	if err := c.Run(context.Background()); err != nil {
		panic(err)
	}
	// Output:
	// step 1: policy, nothing spoke against it for 1 step
	// step 2: fallback, failures: requests fail
}
