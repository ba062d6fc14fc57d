package optimum

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Search holds the settings of the search for the best action in a space that is
// too large to be enumerated: from several starts, knob after knob is set to the
// point that pays most until none pays more; then pairs of knobs are, all of
// their points where those are few, else those that are close.
type Search struct {
	// Restarts are the random starts, besides that from no control at all.
	// Default 6.
	Restarts int
	// Pairs is the number of points of a pair of knobs up to which all are tried.
	// Default 150.
	Pairs int
	// Seed of the random starts. Default 0.
	Seed uint64
}

func (s Search) defaults() Search {
	if s.Restarts == 0 {
		s.Restarts = 6
	}
	if s.Pairs == 0 {
		s.Pairs = 150
	}
	return s
}

// closest is computed once for a space.
type closest struct {
	mu   sync.Mutex
	near [][]near // per knob and point: the points close to it
}

type near = []int

// search looks for the best action at a load.
func (r *Rewards) search(load mesh.Load) (Best, error) {
	v, err := r.At(load)
	if err != nil {
		return Best{}, err
	}
	space := r.Space()
	w := &walk{values: v, space: space, near: r.neighbours(), pairs: r.cfg.Search.Pairs, known: map[string]float64{}}
	h := fnv.New64a()
	h.Write(loadKey(nil, load))
	rng := rand.New(rand.NewPCG(r.cfg.Search.Seed, h.Sum64()))
	starts := [][]int{space.Nearest(space.Default())}
	for range r.cfg.Search.Restarts {
		c := make([]int, len(space.Choices()))
		for h, n := range space.Choices() {
			c[h] = rng.IntN(n)
		}
		starts = append(starts, c)
	}
	var best []int
	top := 0.0
	// Knob by knob from every start, then by pairs from where that got furthest.
	type end struct {
		choice []int
		reward float64
	}
	var ends []end
	for _, start := range starts {
		choice, reward, err := w.climb(slices.Clone(start))
		if err != nil {
			return Best{}, err
		}
		if !slices.ContainsFunc(ends, func(e end) bool { return slices.Equal(e.choice, choice) }) {
			ends = append(ends, end{choice, reward})
		}
	}
	slices.SortStableFunc(ends, func(a, b end) int {
		switch {
		case a.reward > b.reward:
			return -1
		case a.reward < b.reward:
			return 1
		}
		return 0
	})
	for _, e := range ends[:min(len(ends), 3)] {
		choice, reward, err := w.climbPairs(e.choice, e.reward)
		if err != nil {
			return Best{}, err
		}
		if best == nil || reward > top {
			best, top = choice, reward
		}
	}
	return Best{top, space.Action(nil, best), false}, nil
}

// neighbours are, for each point of each knob, the points at the least distance
// from it: of routing weights, one unit moved from one node to another.
func (r *Rewards) neighbours() [][]near {
	r.closest.mu.Lock()
	defer r.closest.mu.Unlock()
	if r.closest.near != nil {
		return r.closest.near
	}
	for _, k := range r.Space().Knobs() {
		list := make([]near, len(k.Points))
		for u, p := range k.Points {
			least := 0.0
			distances := make([]float64, len(k.Points))
			for v, q := range k.Points {
				for j := range p {
					distances[v] += (p[j] - q[j]) * (p[j] - q[j])
				}
				if v != u && (least == 0 || distances[v] < least) {
					least = distances[v]
				}
			}
			for v, d := range distances {
				if v == u || d <= least*1.000001 {
					list[u] = append(list[u], v)
				}
			}
		}
		r.closest.near = append(r.closest.near, list)
	}
	return r.closest.near
}

// walk is a search under way.
type walk struct {
	values *Values
	space  *mesh.Space
	near   [][]near
	pairs  int
	known  map[string]float64 // rewards by choice
	key    []byte
}

func (w *walk) value(choice []int) (float64, error) {
	w.key = w.key[:0]
	for _, c := range choice {
		w.key = binary.LittleEndian.AppendUint32(w.key, uint32(c))
	}
	if v, ok := w.known[string(w.key)]; ok {
		return v, nil
	}
	v, err := w.values.Choice(choice)
	w.known[string(w.key)] = v
	return v, err
}

// gain is by how much another action must pay more.
const gain = 1e-12

// climb sets knob after knob until none pays more.
func (w *walk) climb(choice []int) ([]int, float64, error) {
	top, err := w.value(choice)
	if err != nil {
		return nil, 0, err
	}
	for still := 0; still < len(choice); {
		for h, n := range w.space.Choices() {
			before := choice[h]
			best := before
			for u := range n {
				choice[h] = u
				v, err := w.value(choice)
				if err != nil {
					return nil, 0, err
				}
				if v > top+gain {
					top, best = v, u
				}
			}
			choice[h] = best
			if still++; best != before {
				still = 0
			}
			if still >= len(choice) {
				break
			}
		}
	}
	return choice, top, nil
}

// climbPairs sets pairs of knobs, and single ones again, until none pays more.
func (w *walk) climbPairs(choice []int, top float64) ([]int, float64, error) {
	all := make([]near, len(choice))
	for h, n := range w.space.Choices() {
		for u := range n {
			all[h] = append(all[h], u)
		}
	}
	for again := true; again; {
		again = false
		for g := range choice {
			for h := range g {
				first, second := all[g], all[h]
				if len(first)*len(second) > w.pairs {
					first = w.near[g][choice[g]]
					if len(first)*len(second) > w.pairs {
						second = w.near[h][choice[h]]
					}
				}
				x, y := choice[g], choice[h]
				bx, by := x, y
				for _, u := range first {
					for _, v := range second {
						choice[g], choice[h] = u, v
						got, err := w.value(choice)
						if err != nil {
							return nil, 0, err
						}
						if got > top+gain {
							top, bx, by = got, u, v
						}
					}
				}
				choice[g], choice[h] = bx, by
				if bx != x || by != y {
					again = true
				}
			}
		}
		if again {
			var err error
			if choice, top, err = w.climb(choice); err != nil {
				return nil, 0, err
			}
		}
	}
	return choice, top, nil
}
