package autoscaler_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/autoscaler"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// compute is a service on one node with up to nine replicas, each of which
// starts within 30 s and costs 1/20 of a step in which the goal is met.
func compute() scenario.Scenario {
	m := mesh.New(1, 1)
	target := objective.Target{Goal: .15}
	return scenario.Scenario{Name: "compute", Mesh: m, Work: []scenario.Work{{Time: .06}},
		Loads: load.Ranges{{Min: 5, Max: 70}}, Targets: []objective.Target{target},
		Knobs: []mesh.Knob{{Kind: mesh.Replicas, Min: 1, Max: 9, Up: 30, Cost: 1}},
		Objectives: []objective.Objective{{Name: "met", Services: m.ServiceNames(), Targets: []objective.Target{target}, Terms: []objective.Term{
			{Product: []objective.Factor{{Of: objective.Met, Service: "service1"}}},
			{Weight: -.05, Product: []objective.Factor{{Of: objective.Cost}}},
		}}},
	}
}

// Each rule is calibrated on two days of load and judged on two others.
func ExampleCalibrate() {
	s := compute()
	bed, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		fmt.Println(err)
		return
	}
	env, err := control.NewEnv(bed, load.Diurnal{Ranges: s.Loads, Period: 180, Jitter: .5}, s.Objectives[0], control.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	reward := func(ctx context.Context, p policy.Policy, seed uint64) (float64, error) {
		const steps = 360
		state, err := env.Reset(ctx, seed)
		if err != nil {
			return 0, err
		}
		p.Reset(seed)
		sum := 0.0
		for range steps {
			a, err := p.Act(state)
			if err != nil {
				return 0, err
			}
			x, err := env.Step(ctx, a)
			if err != nil {
				return 0, err
			}
			sum += x.Reward / steps
			state = x.Next
		}
		return sum, nil
	}
	training := func(ctx context.Context, p policy.Policy) (float64, error) { return reward(ctx, p, 1) }
	ctx := context.Background()
	for _, grid := range [][]policy.Policy{
		autoscaler.HPAGrid(autoscaler.HPA{Space: bed.Space()}),
		autoscaler.StepsGrid(autoscaler.Steps{Space: bed.Space()}),
		autoscaler.LookaheadGrid(autoscaler.Lookahead{Space: bed.Space(), Time: []float64{.06}}),
	} {
		c, err := autoscaler.Calibrate(ctx, grid, training)
		if err != nil {
			fmt.Println(err)
			return
		}
		held, err := reward(ctx, grid[c.Best], 2)
		fmt.Printf("%s: %.2f in training, %.2f else %v\n", grid[c.Best].Name(), c.Candidates[c.Best].Score, held, err)
	}
	// Output:
	// hpa fast 70 %: 0.78 in training, 0.75 else <nil>
	// steps 70 %, 30 s: 0.79 in training, 0.75 else <nil>
	// lookahead 80 % of 6: 0.81 in training, 0.78 else <nil>
}
