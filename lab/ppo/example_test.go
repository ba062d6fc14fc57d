package ppo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/ppo"
)

// thermostat shows a temperature between 0 and 1 and pays for the setting of
// four, and the fan of two, that suit it.
type thermostat struct {
	rng *rand.Rand
	now float32
}

func (t *thermostat) Spaces() (int, []int) { return 1, []int{4, 2} }

func (t *thermostat) Reset(seed uint64, obs []float32) error {
	t.rng = rand.New(rand.NewPCG(seed, 0))
	t.draw(obs)
	return nil
}

func (t *thermostat) draw(obs []float32) {
	t.now = t.rng.Float32()
	obs[0] = t.now
}

func (t *thermostat) Step(choice []int, obs []float32) (float64, bool, error) {
	reward := 0.0
	if choice[0] == int(4*t.now) {
		reward++
	}
	if (choice[1] == 1) == (t.now > .5) {
		reward++
	}
	t.draw(obs)
	return reward, false, nil
}

// Train a policy, watch it learn, save it and use it.
func Example() {
	t, err := ppo.New(ppo.Config{Seed: 1}, new(thermostat))
	if err != nil {
		panic(err)
	}
	if err := t.Train(context.Background(), 20_000); err != nil {
		panic(err)
	}
	policy := t.Policy()
	policy.Metadata["objective"] = "comfort"

	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "policy.zip")
	if err := policy.Save(path); err != nil {
		panic(err)
	}
	loaded, err := ppo.Load(path)
	if err != nil {
		panic(err)
	}
	choice := make([]int, 2)
	for _, temperature := range []float32{.1, .4, .6, .9} {
		loaded.Act(choice, []float32{temperature})
		fmt.Println(temperature, choice)
	}
	// Output:
	// 0.1 [0 0]
	// 0.4 [1 0]
	// 0.6 [2 1]
	// 0.9 [3 1]
}

// A learning curve that has converged: the last three scores are as good as
// the best of the three before.
func ExampleConvergence() {
	curve := []ppo.Evaluation{
		{Steps: 10_000, Score: .91}, {Steps: 20_000, Score: .96}, {Steps: 30_000, Score: .978},
		{Steps: 40_000, Score: .981}, {Steps: 50_000, Score: .979}, {Steps: 60_000, Score: .980},
	}
	rule := ppo.Convergence{}
	fmt.Println(rule.Reached(curve[:4]), rule.Reached(curve))
	// Output: false true
}
