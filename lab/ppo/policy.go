package ppo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Policy is a learned policy and its value estimate. It is immutable but for
// its Metadata, and any number of goroutines may use it.
type Policy struct {
	// Metadata goes into the file: what the policy was trained for, on what,
	// and whatever else a later reader should know.
	Metadata map[string]string

	shape   shape
	weights *weights
	scratch sync.Pool // of *passes for one row
}

func newPolicy(s shape, w *weights) *Policy {
	p := &Policy{shape: s, weights: w, Metadata: map[string]string{}}
	p.scratch.New = func() any { return newPasses(s, w, 1, false) }
	return p
}

// Spaces returns the length of an observation and the number of choices of
// each action head.
func (p *Policy) Spaces() (obs int, heads []int) { return p.shape.obs, slices.Clone(p.shape.heads) }

// Hidden returns the widths of the hidden layers.
func (p *Policy) Hidden() []int { return slices.Clone(p.shape.hidden) }

// Act writes the most probable choice of each head, the first of equal ones.
// Here as elsewhere, a slice of the wrong length and an observation that is
// not finite panic.
func (p *Policy) Act(choice []int, obs []float32) { p.Masked(nil).Act(choice, obs) }

// Sample draws the choice of each head from its distribution.
func (p *Policy) Sample(rng *rand.Rand, choice []int, obs []float32) {
	p.Masked(nil).Sample(rng, choice, obs)
}

// Probabilities writes the probability of every choice: those of the first
// head, then those of the second, and so on.
func (p *Policy) Probabilities(dst []float64, obs []float32) {
	p.Masked(nil).Probabilities(dst, obs)
}

// Value returns the value network's estimate of the discounted sum of rewards
// from an observation.
func (p *Policy) Value(obs []float32) float64 {
	p.checkObs(obs)
	s := p.scratch.Get().(*passes)
	defer p.scratch.Put(s)
	return float64(s.value.forward(p.weights.value, obs, 1)[0])
}

// Masked returns the policy under a mask as [Masker] describes it; nil allows
// everything.
func (p *Policy) Masked(mask []bool) Masked {
	if mask != nil {
		if len(mask) != p.shape.choices() {
			panic(fmt.Sprintf("ppo: mask of length %d, want %d", len(mask), p.shape.choices()))
		}
		if err := checkMask(p.shape.heads, mask); err != nil {
			panic("ppo: " + err.Error())
		}
	}
	return Masked{policy: p, mask: mask}
}

// Masked is a policy whose choices are limited by a mask, which it only reads.
type Masked struct {
	policy *Policy
	mask   []bool
}

// Act is [Policy.Act] among the allowed choices.
func (m Masked) Act(choice []int, obs []float32) {
	m.policy.checkChoice(choice)
	s := m.distribution(obs)
	defer m.policy.scratch.Put(s)
	at := 0
	for h, n := range m.policy.shape.heads {
		choice[h] = 0
		for c, z := range s.dist.z[at:][:n] {
			if z > s.dist.z[at+choice[h]] {
				choice[h] = c
			}
		}
		at += n
	}
}

// Sample is [Policy.Sample] among the allowed choices.
func (m Masked) Sample(rng *rand.Rand, choice []int, obs []float32) {
	m.policy.checkChoice(choice)
	s := m.distribution(obs)
	defer m.policy.scratch.Put(s)
	at := 0
	for h, n := range m.policy.shape.heads {
		choice[h] = draw(rng, s.dist.e[at:][:n], s.dist.sum[h])
		at += n
	}
}

// Probabilities is [Policy.Probabilities] among the allowed choices; those of
// the others are 0.
func (m Masked) Probabilities(dst []float64, obs []float32) {
	if want := m.policy.shape.choices(); len(dst) != want {
		panic(fmt.Sprintf("ppo: %d probabilities, want %d", len(dst), want))
	}
	s := m.distribution(obs)
	defer m.policy.scratch.Put(s)
	at := 0
	for h, n := range m.policy.shape.heads {
		for c := range n {
			dst[at+c] = float64(s.dist.e[at+c]) / float64(s.dist.sum[h])
		}
		at += n
	}
}

// distribution computes row 0 of the returned scratch memory's distribution.
func (m Masked) distribution(obs []float32) *passes {
	p := m.policy
	p.checkObs(obs)
	s := p.scratch.Get().(*passes)
	s.dist.set(s.policy.forward(p.weights.policy, obs, 1), 1, m.mask)
	return s
}

func (p *Policy) checkObs(obs []float32) {
	if len(obs) != p.shape.obs {
		panic(fmt.Sprintf("ppo: observation of length %d, want %d", len(obs), p.shape.obs))
	}
	if i := notFinite(obs); i >= 0 {
		panic(fmt.Sprintf("ppo: observation %d is %v, want a finite number", i, obs[i]))
	}
}

func (p *Policy) checkChoice(choice []int) {
	if len(choice) != len(p.shape.heads) {
		panic(fmt.Sprintf("ppo: action of length %d, want %d", len(choice), len(p.shape.heads)))
	}
}
