package study

import (
	"context"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/mdp"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
)

// stepped says whether all knobs of a scenario move by increments, so that its
// configurations are the states of a decision process.
func stepped(s scenario.Scenario) bool {
	return !slices.ContainsFunc(s.MustSpace().Knobs(), func(k mesh.KnobAt) bool { return k.Step == 0 }) && s.MustSpace().Len() <= 1000
}

func init() {
	RegisterDrawing(Drawing{Name: "newton", Title: "rollout as Newton's method: what is left to the optimum after each step, beside value iteration", Needs: NeedsScenario, For: stepped,
		Make: func(_ context.Context, _ *Result, s Source) (Output, error) { return drawn(newton(s.Scenario)) }})
}

// newton draws how far the values of policies are from the best, where each policy
// is rollout over the one before (policy iteration, which is Newton's method for
// Bellman's equation), and how far those of value iteration are after as many
// sweeps. The mesh is the queueing model's, at the middle of the loads.
func newton(sc scenario.Scenario) (figure.Figure, error) {
	q, err := model.NewQueueing(sc)
	if err != nil {
		return figure.Figure{}, err
	}
	r, err := optimum.NewRewards(q, sc.Defaults().Objectives[0], optimum.Config{Timing: sc.Timing})
	if err != nil {
		return figure.Figure{}, err
	}
	space := q.Space()
	reward := make([]float64, space.Len())
	for k := range reward {
		if reward[k], err = r.Value(sc.Loads.Mid(), space.At(k)); err != nil {
			return figure.Figure{}, err
		}
	}
	p, err := mdp.NewConfigurations(space, reward)
	if err != nil {
		return figure.Figure{}, err
	}
	gamma := sc.Gamma()
	best, err := mdp.ValueIteration(p, gamma, 1e-11)
	if err != nil {
		return figure.Figure{}, err
	}
	off := func(v mdp.Values) float64 {
		most := 1e-9 // what the values are known to
		for s := range v {
			most = max(most, math.Abs(v[s]-best[s]))
		}
		return most
	}
	_, _, steps, err := mdp.PolicyIteration(p, gamma, 1e-11, nil)
	if err != nil {
		return figure.Figure{}, err
	}
	rolled, swept := figure.Series{Name: "rollout over the policy before"}, figure.Series{Name: "value iteration"}
	v := steps[0]
	for k, values := range steps {
		rolled.X, rolled.Y = append(rolled.X, float64(k)), append(rolled.Y, off(values))
	}
	for k := range 3 * len(steps) {
		swept.X, swept.Y = append(swept.X, float64(k)), append(swept.Y, off(v))
		v = mdp.Sweep(p, v, gamma)
	}
	return figure.Lines(figure.Axes{X: "steps", Y: "most that a state's value is off", LogY: true}, rolled, swept)
}
