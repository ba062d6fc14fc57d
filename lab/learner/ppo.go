package learner

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
)

// PPO learns by proximal policy optimisation. The zero value is the paper's
// setting (Section V) with as many steps as it trains.
type PPO struct {
	// Config holds the hyper-parameters; Seed, Evaluate and Stop are Learn's.
	Config      ppo.Config  `json:"ppo"`
	Observation Observation `json:"observation"`
	Heads       Heads       `json:"heads,omitempty"`
	// Episode is the number of steps after which an episode is truncated.
	// Default 0, never.
	Episode int `json:"episode,omitempty"`
	// Hold keeps the draws of knobs that take their time for so many steps (see
	// ppo.Config.Hold), which takes the place of Config.Hold. Default 1.
	Hold int `json:"hold,omitempty"`
	// Immediate credits knobs that take no time with the next reward alone (see
	// ppo.Config.Immediate), where there are others and each has a head: right where
	// what they are set to matters no longer in the step after. Default false.
	Immediate bool `json:"immediate,omitempty"`
	// Environments are stepped together. Default 1.
	Environments int `json:"environments,omitempty"`
	// From is a policy to begin with, of the same observation, heads and layers.
	// Default nil, random weights.
	From *Network `json:"-"`
}

var _ Learner = PPO{}

// Name is "ppo".
func (PPO) Name() string { return "ppo" }

// Learn trains a network, and returns the policy of the highest point of the
// learning curve, the last of equal ones.
func (l PPO) Learn(ctx context.Context, p Problem, seed uint64, watch func(Point)) (policy.Policy, error) {
	cfg := l.Config
	cfg.Seed = seed
	if cfg.TotalSteps == 0 {
		cfg.TotalSteps = 100 * 1024
	}
	var envs []ppo.Env
	for range max(1, l.Environments) {
		// Returns then are means of rewards, whatever the discount: a network learns
		// values of one size.
		g, err := newGym(ctx, p, l.Observation, l.Heads, l.Episode, 1-cfg.Gamma)
		if err != nil {
			return nil, err
		}
		envs = append(envs, g)
	}
	env, err := p.env(l.Observation)
	if err != nil {
		return nil, err
	}
	space := env.Space()
	heads, err := l.Heads.in(space)
	if err != nil {
		return nil, err
	}
	if l.Hold > 1 {
		cfg.Hold = heads.hold(space, l.Hold)
	}
	if l.Immediate {
		cfg.Immediate = heads.immediate(space)
	}
	var best *Network
	top := 0.0
	if p.Score == nil {
		cfg.EvalEvery, cfg.Evaluate = 0, nil
	} else {
		if cfg.EvalEvery == 0 {
			cfg.EvalEvery = max(1, cfg.TotalSteps/50)
		}
		cfg.Evaluate = func(_ context.Context, net *ppo.Policy, steps int) (float64, error) {
			n, err := NewNetwork(net, space, p, l.Observation, l.Heads)
			if err != nil {
				return 0, err
			}
			score, err := p.Score(n)
			if err != nil {
				return 0, err
			}
			if best == nil || score >= top {
				best, top = n, score
			}
			if watch != nil {
				watch(Point{steps, score})
			}
			return score, nil
		}
	}
	t, err := ppo.New(cfg, envs...)
	if err != nil {
		return nil, err
	}
	if l.From != nil {
		if err := t.Begin(l.From.net); err != nil {
			return nil, fmt.Errorf("learner: ppo: %w", err)
		}
	}
	if err := t.Train(ctx, 0); err != nil {
		return nil, fmt.Errorf("learner: ppo, seed %d: %w", seed, err)
	}
	if best == nil {
		return NewNetwork(t.Policy(), space, p, l.Observation, l.Heads)
	}
	return best, nil
}
