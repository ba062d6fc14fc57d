package ppo

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Config holds the hyper-parameters by SB3's names. The zero value is the
// paper's setting: networks of [64, 64], batches of 64, 1,024 steps between
// updates, learning rate 0.001, gamma 0, and SB3's defaults otherwise.
type Config struct {
	Seed uint64 // source of every random draw

	// Hidden are the widths of the tanh layers of the policy network and of
	// the value network, which share nothing. Default: [64, 64].
	Hidden []int
	// Autoregressive lets each head's choice depend on those of the heads before
	// it, as well as on the observation: choices that pay only together are
	// learned together, while the number of logits stays the sum of the heads.
	// Needs a hidden layer. Default: false, heads are independent given the
	// observation, as in SB3.
	Autoregressive bool
	// Steps is the number of steps per environment between two updates (SB3's
	// n_steps). Default: 1,024 over the number of environments, rounded up.
	Steps int
	// Batch is the size of a minibatch; the last one of an epoch is smaller
	// where it does not divide the steps of an update. Default: 64.
	Batch int
	// Epochs is the number of passes over the steps of an update. Default: 10.
	Epochs int

	LearningRate         float64  // of Adam. Default: 0.001
	LearningRateSchedule Schedule // Default: Constant

	Gamma     float64 // discount factor, 0 to 1. Default: 0, the next reward alone counts
	GAELambda float64 // of generalised advantage estimation, 0 to 1. Default: 0.95; negative: 0

	// Immediate says of each head whether its choices bear on the next reward alone,
	// whatever Gamma. Such a head is credited with that reward, less a second value
	// network's output that estimates it, and each kind of head has a probability
	// ratio of its own: what follows, and what the other heads do to it, is noise to
	// a head that has no part in it. Default: nil, no head.
	Immediate []bool

	// Hold keeps the random draw that a head's choice is sampled by for so many
	// steps of an environment, head by head. Each choice has its probability, but
	// one after the other explores in one direction: where an effect comes only if
	// the same is asked for several times in a row, such as replicas that take steps
	// to start, independent draws never see it. Default: nil, independent draws.
	Hold []int

	// Common resets all environments with the same seed and keeps the rows of one
	// step in one minibatch. Where an observation does not depend on the choices
	// before, such as one of offered loads, each is then met by as many draws as
	// there are environments, which are compared with each other and share the
	// computation of the networks. Default: false, seeds of their own.
	Common bool

	Clip float64 // range of the probability ratio, 1 ± Clip. Default: 0.2
	// ClipValue limits the change of a value in the value loss. Default: 0,
	// no limit, as in SB3.
	ClipValue float64

	EntropyCoef         float64  // weight of the entropy bonus. Default: 0
	EntropyCoefSchedule Schedule // Default: Constant
	ValueCoef           float64  // weight of the value loss. Default: 0.5; negative: 0
	// MaxGradNorm limits the norm of the gradient over both networks.
	// Default: 0.5; negative: no limit.
	MaxGradNorm float64
	// RawAdvantages leaves out the scaling of each minibatch's advantages to
	// mean 0 and standard deviation 1.
	RawAdvantages bool
	// TargetKL ends an update early when the approximate KL divergence of a
	// minibatch exceeds 1.5 TargetKL. Default: 0, never.
	TargetKL float64

	// TotalSteps is the length of training, in steps over all environments:
	// where Train ends and linear schedules reach 0. Default: 0, Train must be
	// told and schedules must be Constant.
	TotalSteps int

	// EvalEvery is the number of steps between two calls of Evaluate: it is
	// called before the first step and after the first update at or past each
	// multiple. Default: 0, never.
	EvalEvery int
	// Evaluate scores a policy; higher is better, NaN is an error. A policy
	// acts deterministically by [Policy.Act], and may be kept, for instance as
	// the best so far. Evaluate must not touch the trainer's environments. Not
	// saved with a checkpoint.
	Evaluate func(ctx context.Context, p *Policy, steps int) (score float64, err error) `json:"-"`
	// Stop ends Train when the scores have converged. Default: nil, never.
	Stop *Convergence

	// OnUpdate is called after every update, before the evaluation that may be
	// due; it may call Checkpoint. Not saved with a checkpoint.
	OnUpdate func(Metrics) `json:"-"`
}

// credits returns which value each head is credited by, 1 for that of the next
// reward alone, and whether any is by that.
func (c Config) credits(heads int) (of []int, immediate bool, err error) {
	of = make([]int, heads)
	if c.Immediate == nil {
		return of, false, nil
	}
	if len(c.Immediate) != heads || !slices.Contains(c.Immediate, false) {
		return nil, false, fmt.Errorf("ppo: Config.Immediate is %v for %d heads, want a flag each, of which one is false", c.Immediate, heads)
	}
	for h, now := range c.Immediate {
		if now {
			of[h], immediate = 1, true
		}
	}
	return of, immediate, nil
}

// SB3Defaults returns SB3's own default hyper-parameters: gamma 0.99, 2,048
// steps per environment, learning rate 0.0003.
func SB3Defaults() Config {
	return Config{Gamma: 0.99, Steps: 2048, LearningRate: 3e-4}
}

// Schedule says how a coefficient changes while training proceeds.
type Schedule string

const (
	Constant Schedule = ""       // the same throughout
	Linear   Schedule = "linear" // falls linearly, to 0 at Config.TotalSteps
)

// at returns a coefficient's value after steps of total steps.
func (s Schedule) at(value float64, steps, total int) float64 {
	if s == Linear {
		return value * max(0, 1-float64(steps)/float64(total))
	}
	return value
}

// withDefaults returns the configuration that runs, for envs environments.
func (c Config) withDefaults(envs int) (Config, error) {
	if c.Hidden == nil {
		c.Hidden = []int{64, 64}
	}
	setInt := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set := func(v *float64, to float64) {
		if *v == 0 {
			*v = to
		}
	}
	setInt(&c.Steps, (1024+envs-1)/envs)
	setInt(&c.Batch, 64)
	setInt(&c.Epochs, 10)
	set(&c.LearningRate, 0.001)
	set(&c.GAELambda, 0.95)
	set(&c.Clip, 0.2)
	set(&c.ValueCoef, 0.5)
	set(&c.MaxGradNorm, 0.5)
	if c.Common {
		c.Batch = max(1, c.Batch/envs) * envs
	}
	return c, c.check()
}

func (c Config) check() error {
	for _, v := range []struct {
		name  string
		value int
		least int
	}{
		{"Steps", c.Steps, 1}, {"Batch", c.Batch, 2}, {"Epochs", c.Epochs, 1},
		{"TotalSteps", c.TotalSteps, 0}, {"EvalEvery", c.EvalEvery, 0},
	} {
		if v.value < v.least || v.value > math.MaxInt32 {
			return fmt.Errorf("ppo: Config.%s is %d, want %d to %d", v.name, v.value, v.least, math.MaxInt32)
		}
	}
	for _, n := range c.Hold {
		if n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("ppo: Config.Hold has %d, want 1 to %d", n, math.MaxInt32)
		}
	}
	inf := math.Inf(1)
	for _, v := range []struct {
		name                string
		value, least, above float64
	}{
		{"LearningRate", c.LearningRate, 0, inf}, {"Gamma", c.Gamma, 0, 1}, {"GAELambda", c.GAELambda, -inf, 1},
		{"Clip", c.Clip, 0, inf}, {"ClipValue", c.ClipValue, 0, inf}, {"EntropyCoef", c.EntropyCoef, 0, inf},
		{"ValueCoef", c.ValueCoef, -inf, inf}, {"MaxGradNorm", c.MaxGradNorm, -inf, inf}, {"TargetKL", c.TargetKL, 0, inf},
	} {
		if !(v.value >= v.least && v.value <= v.above) || math.IsInf(v.value, 0) {
			return fmt.Errorf("ppo: Config.%s is %v, want %v to %v", v.name, v.value, v.least, v.above)
		}
	}
	for _, s := range []Schedule{c.LearningRateSchedule, c.EntropyCoefSchedule} {
		switch {
		case s != Constant && s != Linear:
			return fmt.Errorf("ppo: schedule %q, want %q or %q", s, Constant, Linear)
		case s == Linear && c.TotalSteps == 0:
			return fmt.Errorf("ppo: a linear schedule needs Config.TotalSteps")
		}
	}
	if (c.EvalEvery > 0) != (c.Evaluate != nil) {
		return fmt.Errorf("ppo: Config.EvalEvery (%d) and Config.Evaluate go together", c.EvalEvery)
	}
	if c.Stop != nil {
		if c.EvalEvery == 0 {
			return fmt.Errorf("ppo: Config.Stop needs Config.EvalEvery and Config.Evaluate")
		}
		return c.Stop.check()
	}
	return nil
}
