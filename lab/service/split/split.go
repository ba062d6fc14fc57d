// Package split divides a stream of requests by weight so that the fractions
// are exact in the long run: the front node blocks and routes with it, and the
// simulated mesh does the same.
package split

import (
	"fmt"
	"math/rand/v2"
)

// block is the number of decisions after which the counts are within one of
// weight x decisions.
const block = 20

// Splitter gives each request a part, part j with weight w_j. Within a block of
// 20 requests the parts come in random order, so that short-run behaviour stays
// close to independent draws: a strict rotation would make Poisson arrivals
// more regular than they are. It is not safe for concurrent use.
type Splitter struct {
	rng    *rand.Rand
	weight []float64
	owed   []float64 // weight x decisions so far, less what was given
	deck   []int     // what is left of the current block
}

// New returns a splitter that sends everything to the first of parts parts.
func New(parts int, seed uint64) *Splitter {
	if parts < 1 {
		panic(fmt.Sprintf("split: %d parts", parts))
	}
	s := &Splitter{weight: make([]float64, parts), owed: make([]float64, parts), deck: make([]int, 0, block)}
	s.weight[0] = 1
	s.Reset(seed)
	return s
}

// Reset starts the random order again from seed; the weights stay.
func (s *Splitter) Reset(seed uint64) {
	s.rng = rand.New(rand.NewPCG(seed, 0x73706c6974))
	s.clear()
}

func (s *Splitter) clear() {
	s.deck = s.deck[:0]
	clear(s.owed)
}

// Set changes the weights, which must sum to 1, and begins a new block. Weights
// that are already set change nothing.
func (s *Splitter) Set(weight ...float64) {
	if len(weight) != len(s.weight) {
		panic(fmt.Sprintf("split: %d weights for %d parts", len(weight), len(s.weight)))
	}
	same := true
	for j, w := range weight {
		same = same && s.weight[j] == w
	}
	if same {
		return
	}
	copy(s.weight, weight)
	s.clear()
}

// Next is the part of the next request.
func (s *Splitter) Next() int {
	if len(s.deck) == 0 {
		s.deal()
	}
	last := len(s.deck) - 1
	part := s.deck[last]
	s.deck = s.deck[:last]
	return part
}

// deal makes the next block: what the parts are owed, rounded so that a debt
// is carried into the following block.
func (s *Splitter) deal() {
	for j, w := range s.weight {
		s.owed[j] += w * block
	}
	for range block {
		best := 0
		for j := range s.owed {
			if s.owed[j] > s.owed[best] {
				best = j
			}
		}
		s.owed[best]--
		s.deck = append(s.deck, best)
	}
	s.rng.Shuffle(block, func(a, b int) { s.deck[a], s.deck[b] = s.deck[b], s.deck[a] })
}
