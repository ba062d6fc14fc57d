package learner

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
)

// Bandit is a contextual bandit: it learns what a step pays as a sum over the
// knobs, each linear in what is seen of the loads, and takes the point of each
// knob that pays most, but for a share of random ones that falls to 0. It is
// blind to what follows a step, and to knobs that have to change together.
type Bandit struct {
	// Steps of the training. Default 100,000.
	Steps int
	// Knots of the loads (see Observation). Default 16.
	Knots int
	// Explore is the share of random points at the beginning. Default 0.5.
	Explore float64
	// Rate is the step size at the beginning. Default 0.1.
	Rate float64
}

var _ Learner = Bandit{}

// Name is "bandit".
func (Bandit) Name() string { return "bandit" }

func (b Bandit) defaults() Bandit {
	if b.Steps == 0 {
		b.Steps = 100_000
	}
	if b.Knots == 0 {
		b.Knots = 16
	}
	if b.Explore == 0 {
		b.Explore = .5
	}
	if b.Rate == 0 {
		b.Rate = .1
	}
	return b
}

// Learn steps the environment Steps times, looking at the score at every
// fiftieth part of them, and returns the policy that scored best.
func (b Bandit) Learn(ctx context.Context, p Problem, seed uint64, watch func(Point)) (policy.Policy, error) {
	b = b.defaults()
	env, err := p.env(Observation{Knots: b.Knots})
	if err != nil {
		return nil, err
	}
	space := env.Space()
	o := Observation{Knots: b.Knots}
	l := &Linear{space: space, coder: newCoder(o, p.Loads, p.Goals, space)}
	inputs := l.coder.len()
	l.input = make([]float32, inputs)
	l.choice = make([]int, len(space.Choices()))
	for _, n := range space.Choices() {
		w := make([][]float64, n)
		for u := range w {
			w[u] = make([]float64, inputs)
		}
		l.weights = append(l.weights, w)
	}
	rng := rand.New(rand.NewPCG(seed, 0x62616e646974))
	s, err := env.Reset(ctx, seed)
	if err != nil {
		return nil, fmt.Errorf("learner: bandit, seed %d: %w", seed, err)
	}
	var best *Linear
	top := 0.0
	mean, spread := 0.0, 0.0
	var action mesh.Action
	for t := range b.Steps {
		if t%(max(1, b.Steps/50)) == 0 && p.Score != nil {
			score, err := p.Score(l)
			if err != nil {
				return nil, err
			}
			if best == nil || score >= top {
				best, top = l.Clone(), score
			}
			if watch != nil {
				watch(Point{t, score})
			}
			l.coder.encode(l.input, s)
		}
		left := 1 - float64(t)/float64(b.Steps)
		l.coder.encode(l.input, s)
		l.decide()
		for h, n := range space.Choices() {
			if rng.Float64() < b.Explore*left {
				l.choice[h] = rng.IntN(n)
			}
		}
		space.Fit(l.choice)
		action = space.Action(action, l.choice)
		foreseen := 0.0
		for h, c := range l.choice {
			foreseen += l.pays(h, c)
		}
		step, err := env.Step(ctx, action)
		if err != nil {
			return nil, fmt.Errorf("learner: bandit, seed %d: %w", seed, err)
		}
		if !math.IsNaN(step.Reward) {
			// Rewards are learned in units of their own spread.
			n := float64(t + 1)
			d := step.Reward - mean
			mean += d / n
			spread += float64(d * (step.Reward - mean))
			unit := math.Sqrt(spread/n) + 1e-9
			miss := (step.Reward-mean)/unit - foreseen
			rate := b.Rate * left / float64(len(l.choice))
			for h, c := range l.choice {
				w := l.weights[h][c]
				for k, x := range l.input {
					if x != 0 {
						w[k] += rate * miss * float64(x)
					}
				}
			}
		}
		s = step.Next
	}
	if p.Score == nil {
		return l, nil
	}
	score, err := p.Score(l)
	if err != nil {
		return nil, err
	}
	if watch != nil {
		watch(Point{b.Steps, score})
	}
	if score >= top {
		return l, nil
	}
	return best, nil
}

// Linear is the policy of a Bandit.
type Linear struct {
	space   *mesh.Space
	coder   coder
	weights [][][]float64 // per knob and point: of the inputs
	input   []float32
	choice  []int
	action  mesh.Action
}

var _ policy.Policy = (*Linear)(nil)

// Name is "bandit".
func (l *Linear) Name() string { return "bandit" }

// Reset does nothing: the policy is deterministic.
func (l *Linear) Reset(uint64) {}

// Act returns the action that pays most by what was learned.
func (l *Linear) Act(s mesh.State) (mesh.Action, error) {
	l.coder.encode(l.input, s)
	l.decide()
	l.action = l.space.Action(l.action, l.choice)
	return l.action, nil
}

// decide chooses the best points for the input, made to fit the limits.
func (l *Linear) decide() {
	for h := range l.choice {
		top := math.Inf(-1)
		for u := range l.weights[h] {
			if v := l.pays(h, u); v > top {
				top, l.choice[h] = v, u
			}
		}
	}
	l.space.Fit(l.choice)
}

// pays is what point u of knob h adds to a step's reward.
func (l *Linear) pays(h, u int) float64 {
	sum := 0.0
	for k, x := range l.input {
		if x != 0 {
			sum += l.weights[h][u][k] * float64(x)
		}
	}
	return sum
}

// Clone returns a policy of the same weights for another goroutine.
func (l *Linear) Clone() *Linear {
	c := *l
	c.weights = make([][][]float64, len(l.weights))
	for h := range l.weights {
		for _, w := range l.weights[h] {
			c.weights[h] = append(c.weights[h], append([]float64(nil), w...))
		}
	}
	c.input, c.choice, c.action = make([]float32, len(l.input)), make([]int, len(l.choice)), nil
	return &c
}
