package extend_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// random tries random actions and keeps the one that scores best as a constant.
type random struct{ Tries int }

var _ learner.Learner = random{}

func (random) Name() string { return "random search" }

func (r random) Learn(ctx context.Context, p learner.Problem, seed uint64, watch func(learner.Point)) (policy.Policy, error) {
	env, err := p.Env(0)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	var best policy.Static
	top := 0.0
	for n := range r.Tries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		try := policy.Static{Label: r.Name(), Action: env.Space().At(rng.IntN(env.Space().Len()))}
		score, err := p.Score(try)
		if err != nil {
			return nil, err
		}
		if n == 0 || score > top {
			best, top = try, score
		}
		if watch != nil {
			watch(learner.Point{Steps: n + 1, Score: top})
		}
	}
	return best, nil
}

// A learner of one's own beside one that is there, in the same problem.
func ExampleLearner() {
	space := mesh.Grid(mesh.New(2, 2), 6)
	ranges := load.Ranges{{Min: 5, Max: 20}, {Min: 5, Max: 20}}
	o := objective.Useful("useful", space.Mesh().ServiceNames(), []objective.Target{{Goal: .025}, {Goal: .030}})
	rewards, err := optimum.NewRewards(linear{space}, o, optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	problem := learner.Problem{
		Env: func(past int) (*control.Env, error) { return rewards.NewEnv(load.Random{Ranges: ranges}, past) },
		Score: func(p policy.Policy) (float64, error) {
			score, _, err := policy.Score(rewards, p, ranges.Grid(100))
			return score, err
		},
		Loads: ranges,
	}
	for _, l := range []learner.Learner{random{Tries: 200}, learner.Bandit{Steps: 5000}} {
		learned, err := l.Learn(context.Background(), problem, 1, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		score, err := problem.Score(learned)
		fmt.Printf("%s: above 0.8 of the optimum: %v %v\n", learned.Name(), score > .8, err)
	}
	// Output:
	// random search: above 0.8 of the optimum: true <nil>
	// bandit: above 0.8 of the optimum: true <nil>
}
