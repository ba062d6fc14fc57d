package ppo

import (
	"math"
	"slices"
)

// hash tells rows apart, nearly always.
type hash uint64

func (h *hash) mix(i int, v uint32) {
	x := (uint64(*h) ^ uint64(i)<<32 ^ uint64(v)) * 0x9e3779b97f4a7c15
	*h = hash(x ^ x>>29)
}

// observation mixes in the values that are not 0.
func (h *hash) observation(obs []float32) {
	for i, v := range obs {
		if v != 0 {
			h.mix(i, math.Float32bits(v))
		}
	}
}

// recall keeps the distributions of observations that were met since the networks
// changed: of loads of a few values, the same come again and again.
type recall struct {
	of   map[hash]int // in seen
	n    int          // of seen and dist in use
	seen [][]float32
	dist []*distribution
}

// recalled bounds the observations that are kept.
const recalled = 128

// forget is for networks that have changed.
func (r *recall) forget() {
	clear(r.of)
	r.n = 0
}

// find returns the distribution of an observation, nil if it is not kept.
func (r *recall) find(obs []float32) *distribution {
	var h hash
	h.observation(obs)
	if k, ok := r.of[h]; ok && slices.Equal(obs, r.seen[k]) {
		return r.dist[k]
	}
	return nil
}

// keep copies what choices are drawn from of the first row of d.
func (r *recall) keep(obs []float32, d *distribution) {
	if r.n == recalled {
		return
	}
	if r.of == nil {
		r.of = map[hash]int{}
	}
	if r.n == len(r.dist) {
		heads := len(d.heads)
		r.seen = append(r.seen, make([]float32, len(obs)))
		r.dist = append(r.dist, &distribution{heads: d.heads, at: d.at, ld: d.ld, z: make([]float32, d.ld), e: make([]float32, d.ld),
			sum: make([]float32, heads), lse: make([]float32, heads)})
	}
	copy(r.seen[r.n], obs)
	to := r.dist[r.n]
	copy(to.z, d.z)
	copy(to.e, d.e)
	copy(to.sum, d.sum)
	copy(to.lse, d.lse)
	var h hash
	h.observation(obs)
	r.of[h] = r.n
	r.n++
}
