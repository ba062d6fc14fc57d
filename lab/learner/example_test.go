package learner_test

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
)

// A bandit learns the paper's MO1 on the model of queues.
func ExampleBandit() {
	s := scenario.Paper()
	m, err := model.NewQueueing(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := optimum.NewRewards(m, s.Objectives[0], optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := learner.Problem{
		Env: func(past int) (*control.Env, error) { return r.NewEnv(load.Random{Ranges: s.Loads}, past) },
		Score: func(p policy.Policy) (float64, error) {
			score, _, err := policy.Score(r, p, s.Loads.Grid(100))
			return score, err
		},
		Loads: s.Loads,
	}
	learned, err := learner.Bandit{Steps: 20_000}.Learn(context.Background(), p, 1, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	score, err := p.Score(learned)
	fmt.Println(learned.Name(), "at least 0.8 of the optimum:", score >= .8, err)
	// Output: bandit at least 0.8 of the optimum: true <nil>
}
