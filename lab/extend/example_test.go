package extend_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
)

// From a scenario to a policy: a model, what an objective pays on it, a learner,
// and how close what it learned comes to the optimum.
func Example() {
	s := scenario.Paper()
	m, err := model.NewQueueing(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	rewards, err := optimum.NewRewards(m, s.Objectives[0], optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	score := func(p policy.Policy) (float64, error) {
		v, _, err := policy.Score(rewards, p, s.Loads.Grid(100))
		return v, err
	}
	problem := learner.Problem{
		Env:   func(past int) (*control.Env, error) { return rewards.NewEnv(load.Random{Ranges: s.Loads}, past) },
		Score: score,
		Loads: s.Loads,
	}
	algorithm := learner.PPO{Config: ppo.Config{TotalSteps: 10_000, LearningRate: 3e-3}, Observation: learner.Observation{Knots: 4}}
	learned, err := algorithm.Learn(context.Background(), problem, 1, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range []policy.Policy{&policy.Random{Space: m.Space()}, learned, policy.Greedy{Optimum: rewards}} {
		v, err := score(p)
		fmt.Printf("%s: above half of the optimum: %v %v\n", p.Name(), v > .5, err)
	}
	// Output:
	// random: above half of the optimum: false <nil>
	// ppo: above half of the optimum: true <nil>
	// greedy: above half of the optimum: true <nil>
}
