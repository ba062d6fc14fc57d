package load

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

var _ Pattern = Bursty{}

// Regime is a state of Bursty load.
type Regime struct {
	Level   float64 // share of each range, from 0 for its low end to 1 for its high one
	Sojourn float64 // mean number of steps until another regime begins
	Weight  float64 // how often it is the next one, beside the weights of the others; default 1
}

// Bursty is Markov-modulated load: each service is in one of several regimes,
// in each step leaves it with a fixed probability, 1/Sojourn, and then enters
// another, drawn by weight. The numbers of steps in a regime are geometric, and
// the share of steps in it is in proportion to Weight (1 - w) Sojourn, w its
// share of all weights. With Poisson arrivals in each step it is a
// Markov-modulated Poisson process in discrete time.
//
// The chain is exact and stationary from step 0 on, and yet the regime of a step
// is found without those before: in every step the chain forgets where it was with
// a probability that does not depend on the regime, so the walk goes back to the
// last such step only and forward from there (perfect simulation, as in coupling
// from the past). That takes max Sojourn (1 - w) steps in the mean, whatever t is.
type Bursty struct {
	Ranges Ranges
	// Regimes are two or more. Default the low end for 60 steps and the high one
	// for 15, in the mean.
	Regimes []Regime
	// Shared puts all services into the same regime; else each has its own chain.
	Shared bool
}

// Name is "bursty".
func (Bursty) Name() string { return "bursty" }

var defaultRegimes = []Regime{{Level: 0, Sojourn: 60}, {Level: 1, Sojourn: 15}}

// maxSojourn bounds what one At may cost.
const maxSojourn = 10_000

// At is the load of step t.
func (b Bursty) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(b.Ranges))
	regimes := b.Regimes
	if len(regimes) == 0 {
		regimes = defaultRegimes
	}
	c := newChain(regimes)
	at := 0
	for i, r := range b.Ranges {
		if i == 0 || !b.Shared {
			at = c.at(seed, t, i)
		}
		dst[i] = r.share(regimes[at].Level)
	}
	return dst
}

// chain draws the next regime anew, by weight and whatever it was, with a
// probability that depends on the regime. The draw may give the same one again,
// so that probability is above 1/Sojourn.
type chain struct {
	regimes []Regime
	total   float64 // of the weights
	least   float64 // probability of a draw, in any regime
}

func newChain(regimes []Regime) chain {
	c := chain{regimes: regimes, least: 1}
	if len(regimes) < 2 {
		panic(fmt.Sprintf("load: bursty of %d regime; accepted: 2 or more", len(regimes)))
	}
	for k, r := range regimes {
		if w := or(r.Weight, 1); !(w > 0 && w < 1e9) || !(r.Level >= 0 && r.Level <= 1) {
			panic(fmt.Sprintf("load: regime %d has level %v and weight %v; accepted: a level from 0 to 1, a weight above 0", k, r.Level, w))
		}
		c.total += or(r.Weight, 1)
	}
	for k, r := range regimes {
		p := c.leave(k)
		if !(p <= 1) || !(r.Sojourn <= maxSojourn) {
			panic(fmt.Sprintf("load: regime %d lasts %v steps; accepted: %.4g to %d", k, r.Sojourn, 1/(1-or(r.Weight, 1)/c.total), maxSojourn))
		}
		c.least = min(c.least, p)
	}
	return c
}

// leave is the probability that the regime after k is drawn anew.
func (c *chain) leave(k int) float64 {
	return 1 / (c.regimes[k].Sojourn * (1 - or(c.regimes[k].Weight, 1)/c.total))
}

// at is the regime of step t. Every step has a hash, which says whether the
// regime is drawn anew, and another made of it says which one that is.
func (c *chain) at(seed uint64, t, service int) int {
	base := mix(seed^mix(streamBursty)) ^ mix(^uint64(service))
	hash := func(t int) uint64 { return mix(base ^ mix(uint64(t))) }
	k := t
	h := hash(k)
	for fraction(h) >= c.least {
		k--
		h = hash(k)
	}
	regime := c.draw(fraction(mix(h)))
	for k++; k <= t; k++ {
		if h = hash(k); fraction(h) < c.leave(regime) {
			regime = c.draw(fraction(mix(h)))
		}
	}
	return regime
}

// draw is a regime by weight, u in [0, 1).
func (c *chain) draw(u float64) int {
	u *= c.total
	for k, r := range c.regimes {
		if u -= or(r.Weight, 1); u < 0 {
			return k
		}
	}
	return len(c.regimes) - 1
}
