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

// Autoregressive says whether each head's choice depends on those before it.
func (p *Policy) Autoregressive() bool { return p.shape.chained }

// Act writes the most probable choice of each head, the first of equal ones;
// in an autoregressive policy, head by head, given the choices written before.
// Here as elsewhere, a slice of the wrong length and an observation that is
// not finite panic.
func (p *Policy) Act(choice []int, obs []float32) { p.Masked(nil).Act(choice, obs) }

// Sample draws the choice of each head from its distribution.
func (p *Policy) Sample(rng *rand.Rand, choice []int, obs []float32) {
	p.Masked(nil).Sample(rng, choice, obs)
}

// Probabilities writes the probability of every choice: those of the first
// head, then those of the second, and so on. In an autoregressive policy those
// of a head are for the case that the heads before it choose as Act does; see
// [Policy.Given] for others.
func (p *Policy) Probabilities(dst []float64, obs []float32) {
	p.Masked(nil).Probabilities(dst, obs)
}

// Given is [Policy.Probabilities] where the heads make the given choices: the
// probability of an action is the product of its choices'.
func (p *Policy) Given(dst []float64, choice []int, obs []float32) {
	p.Masked(nil).Given(dst, choice, obs)
}

// Value returns the value network's estimate of the discounted sum of rewards
// from an observation.
func (p *Policy) Value(obs []float32) float64 {
	p.checkObs(obs)
	s := p.scratch.Get().(*passes)
	defer p.scratch.Put(s)
	s.in.set(obs, 1, p.shape.obs)
	return float64(s.value.forward(p.weights.value, &s.in)[0])
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

// MaskedBy returns the policy under masks that depend on the choices before.
func (p *Policy) MaskedBy(m ConditionalMasker) Masked { return Masked{policy: p, conditional: m} }

// Masked is a policy whose choices are limited by a mask, which it only reads.
type Masked struct {
	policy      *Policy
	mask        []bool
	conditional ConditionalMasker
}

// Act is [Policy.Act] among the allowed choices.
func (m Masked) Act(choice []int, obs []float32) {
	m.policy.checkChoice(choice)
	s := m.walk(obs, func(d *distribution, h int) int { return d.likeliest(0, h) })
	defer m.policy.scratch.Put(s)
	for h, c := range s.choice {
		choice[h] = int(c)
	}
}

// Sample is [Policy.Sample] among the allowed choices.
func (m Masked) Sample(rng *rand.Rand, choice []int, obs []float32) {
	m.policy.checkChoice(choice)
	s := m.walk(obs, func(d *distribution, h int) int { return d.sample(0, h, rng.Float64()) })
	defer m.policy.scratch.Put(s)
	for h, c := range s.choice {
		choice[h] = int(c)
	}
}

// Probabilities is [Policy.Probabilities] among the allowed choices; those of
// the others are 0.
func (m Masked) Probabilities(dst []float64, obs []float32) {
	m.probabilities(dst, obs, func(d *distribution, h int) int { return d.likeliest(0, h) })
}

// Given is [Policy.Given] among the allowed choices.
func (m Masked) Given(dst []float64, choice []int, obs []float32) {
	m.policy.checkChoice(choice)
	for h, c := range choice {
		if c < 0 || c >= m.policy.shape.heads[h] {
			panic(fmt.Sprintf("ppo: choice %d of head %d, want 0 to %d", c, h, m.policy.shape.heads[h]-1))
		}
	}
	m.probabilities(dst, obs, func(_ *distribution, h int) int { return choice[h] })
}

func (m Masked) probabilities(dst []float64, obs []float32, pick func(d *distribution, h int) int) {
	heads := m.policy.shape.heads
	if want := m.policy.shape.choices(); len(dst) != want {
		panic(fmt.Sprintf("ppo: %d probabilities, want %d", len(dst), want))
	}
	s := m.walk(obs, pick)
	defer m.policy.scratch.Put(s)
	at := 0
	for h, n := range heads {
		for c, e := range s.dist.weights(0, h) {
			dst[at+c] = float64(e) / float64(s.dist.sum[h])
		}
		at += n
	}
}

// walk computes the distributions head by head, each after pick has chosen for
// the heads before it, into row 0 of the returned scratch memory.
func (m Masked) walk(obs []float32, pick func(d *distribution, h int) int) *passes {
	p := m.policy
	p.checkObs(obs)
	s := p.scratch.Get().(*passes)
	s.in.set(obs, 1, p.shape.obs)
	logits := s.policy.policyForward(p.weights, &s.in)
	mask, first := m.mask, 0
	if m.conditional != nil {
		mask = make([]bool, p.shape.choices())
	}
	var before []int
	for h, n := range p.shape.heads {
		if p.shape.chained {
			s.policy.head(p.shape, p.weights, h, 1, s.choice, s.dist.at[h], s.dist.ld)
		}
		if m.conditional != nil {
			flags := mask[first:][:n]
			m.conditional.MaskHead(h, before, flags)
			if !slices.Contains(flags, true) {
				panic(fmt.Sprintf("ppo: after the choices %v, %v", before, errForbidden(n, h)))
			}
		}
		s.dist.set(logits, 1, mask, h, h+1)
		c := pick(s.dist, h)
		s.choice[h] = int32(c)
		if m.conditional != nil {
			before = append(before, c)
		}
		first += n
	}
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
