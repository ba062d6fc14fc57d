// Package ppo learns policies by proximal policy optimisation (Schulman et
// al., arXiv:1707.06347) with the semantics of Stable-Baselines3 (SB3), for
// actions made of several choices (SB3's MultiDiscrete) that may be masked.
// Choices are independent given the observation, as SB3's are, unless
// [Config.Autoregressive] lets each depend on those before it.
//
// A [Trainer] steps its environments, optimises, evaluates and checkpoints in
// one goroutine; run one per objective and seed to use all cores. It hands out
// immutable [Policy] values, which any number of goroutines may use and which
// are saved to files that one can open. The zero [Config] is the setting of
// Samani and Stadler (CNSM 2022, Section V).
//
// The same seed gives the same bytes, whatever the number of processors and
// whether or not the machine has the vector instructions that the kernels use.
package ppo

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Env is an environment with a vector of numbers as observation and one choice
// per head as action. The trainer calls it from one goroutine.
type Env interface {
	// Spaces returns the length of an observation and the number of choices
	// of each action head. It does not change.
	Spaces() (obs int, heads []int)
	// Reset starts an episode, all its random draws coming from seed, and
	// writes the first observation into obs.
	Reset(seed uint64, obs []float32) error
	// Step takes the choices, 0 <= choice[h] < heads[h], and writes the next
	// observation into obs. done ends the episode: what would have followed
	// counts as 0, unless the environment is a [Truncater].
	Step(choice []int, obs []float32) (reward float64, done bool, err error)
}

// Masker is an environment that forbids choices from time to time.
type Masker interface {
	// Mask writes whether each choice is allowed for the present observation:
	// the choices of the first head, then those of the second, and so on. Each
	// head must have an allowed one.
	Mask(dst []bool)
}

// ConditionalMasker is an environment whose mask of a head depends on the
// choices of the heads before it, autoregressive or not: choices are then drawn
// head by head. It stands in the place of [Masker], which an environment that
// has both is not asked for.
type ConditionalMasker interface {
	// MaskHead writes whether each choice of a head is allowed for the present
	// observation after the given choices of the heads before it. It must allow
	// one, whatever allowed choices came before.
	MaskHead(head int, before []int, dst []bool)
}

// Truncater is an environment whose episodes end by a time limit rather than
// for good. What follows such an end is then estimated by the value network
// (times gamma), as SB3 does with TimeLimit.truncated.
type Truncater interface {
	// Truncated says whether the last step, which returned done, was such an end.
	Truncated() bool
}

// Stater is an environment that a checkpoint can include. After SetState it
// must go on exactly as the one that State was called on.
type Stater interface {
	State() ([]byte, error)
	SetState([]byte) error
}

const (
	maxObs     = 1 << 16 // longest observation, widest layer, most choices
	maxHeads   = 1 << 10
	maxWeights = 1 << 28
)

// checkSpaces returns an error unless obs and heads describe spaces that a
// network can be built for.
func checkSpaces(obs int, heads []int) error {
	if obs < 1 || obs > maxObs {
		return fmt.Errorf("an observation of %d numbers, want 1 to %d", obs, maxObs)
	}
	if len(heads) < 1 || len(heads) > maxHeads {
		return fmt.Errorf("an action of %d heads, want 1 to %d", len(heads), maxHeads)
	}
	choices := 0
	for h, n := range heads {
		if n < 1 || n > maxObs {
			return fmt.Errorf("action head %d has %d choices, want 1 to %d", h, n, maxObs)
		}
		choices += n
	}
	if choices > maxObs {
		return fmt.Errorf("an action of %d choices in all, want at most %d", choices, maxObs)
	}
	return nil
}

// commonSpaces returns the spaces of all environments, which must agree.
func commonSpaces(envs []Env) (obs int, heads []int, err error) {
	if len(envs) == 0 {
		return 0, nil, errors.New("ppo: no environment")
	}
	obs, heads = envs[0].Spaces()
	heads = slices.Clone(heads)
	if err := checkSpaces(obs, heads); err != nil {
		return 0, nil, fmt.Errorf("ppo: environment 0 has %w", err)
	}
	for i, e := range envs[1:] {
		if o, h := e.Spaces(); o != obs || !slices.Equal(h, heads) {
			return 0, nil, fmt.Errorf("ppo: environment %d has %d observations and heads %v, environment 0 has %d and %v", i+1, o, h, obs, heads)
		}
	}
	return obs, heads, nil
}

// notFinite returns the index of the first value that is not a finite number, or -1.
func notFinite(x []float32) int {
	for i, v := range x {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return i
		}
	}
	return -1
}
