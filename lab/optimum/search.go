package optimum

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Search holds the settings of the search for the best action in a space that is
// too large to be enumerated. Knob after knob is set to the point that pays most
// until none pays more; then pairs of knobs are, all of their points where those
// are few, else those that are close. It goes from several starts, values actions
// by some of the model's draws, and then improves on the best that it found by all
// of them.
type Search struct {
	// Restarts are the random starts, besides that from no control at all.
	// Default 8.
	Restarts int
	// Kicks are how often some knobs of the best action are set at random to climb
	// again from there. Default 24.
	Kicks int
	// Pairs is the number of points of a pair of knobs up to which all are tried.
	// Default 450, of more than five knobs 100.
	Pairs int
	// Draws is the number of draws that actions are valued by at first, where the
	// model has several times as many. Default 16.
	Draws int
	// Finalists are how many of the best actions by those draws are valued by all.
	// Default 150.
	Finalists int
	// Seed of the random starts. Default 0.
	Seed uint64
}

func (s Search) defaults(knobs int) Search {
	if s.Restarts == 0 {
		s.Restarts = 8
	}
	if s.Kicks == 0 {
		s.Kicks = 24
	}
	if s.Pairs == 0 {
		if s.Pairs = 450; knobs > 5 {
			s.Pairs = 100
		}
	}
	if s.Draws == 0 {
		s.Draws = 16
	}
	if s.Finalists == 0 {
		s.Finalists = 150
	}
	return s
}

// closest is computed once for a space.
type closest struct {
	mu   sync.Mutex
	near [][]near // per knob and point: the points close to it
}

type near = []int

// ends is the number of the starts' ends that pairs are tried from.
const ends = 3

// end is where a climb ended.
type end struct {
	choice []int
	reward float64
}

// search looks for the best action at a load.
func (r *Rewards) search(load mesh.Load) (Best, error) {
	v, err := r.At(load)
	if err != nil {
		return Best{}, err
	}
	space, cfg := r.Space(), r.cfg.Search
	h := fnv.New64a()
	h.Write(loadKey(nil, load))
	rng := rand.New(rand.NewPCG(cfg.Seed, h.Sum64()))
	rough := &walk{values: v, space: space, near: r.neighbours(), pairs: cfg.Pairs, known: map[string]float64{}, stride: max(1, v.draws()/cfg.Draws)}
	var tops []end
	for n := range cfg.Restarts + 1 {
		choice := space.Nearest(space.Default())
		if n > 0 {
			rough.scatter(rng, choice, len(choice))
		}
		e, err := rough.climb(choice)
		if err != nil {
			return Best{}, err
		}
		tops = keep(tops, e)
	}
	var best []end
	for _, e := range tops {
		if e, err = rough.climbPairs(e); err != nil {
			return Best{}, err
		}
		best = keep(best, e)
	}
	for range cfg.Kicks {
		choice := slices.Clone(best[0].choice)
		rough.scatter(rng, choice, min(3, len(choice)))
		e, err := rough.climb(choice)
		if err != nil {
			return Best{}, err
		}
		if len(best) < ends || e.reward > best[len(best)-1].reward {
			if e.reward > best[0].reward+gain {
				if e, err = rough.climbPairs(e); err != nil {
					return Best{}, err
				}
			}
			best = keep(best, e)
		}
	}
	if rough.stride > 1 {
		if best, err = rough.refine(cfg.Finalists); err != nil {
			return Best{}, err
		}
	}
	return Best{best[0].reward, space.Action(nil, best[0].choice), false}, nil
}

// refine values the actions that are best by some draws by all of them, and
// climbs on from the best of those.
func (w *walk) refine(finalists int) (best []end, err error) {
	fine := &walk{values: w.values, space: w.space, near: w.near, pairs: w.pairs, known: map[string]float64{}, stride: 1, rough: w}
	for _, e := range w.visited(finalists) {
		if e.reward, err = fine.value(e.choice); err != nil {
			return nil, err
		}
		best = keep(best, e)
	}
	for k := range best {
		if best[k], err = fine.climb(best[k].choice); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(best, descending)
	best[0], err = fine.climbPairs(best[0])
	return best, err
}

// visited are the n best actions that were valued.
func (w *walk) visited(n int) []end {
	type entry struct {
		key   string
		value float64
	}
	var list []entry
	for key, v := range w.known {
		list = append(list, entry{key, v})
	}
	slices.SortFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.key, b.key))
	})
	var ends []end
	for _, e := range list[:min(n, len(list))] {
		choice := make([]int, len(w.space.Choices()))
		for h := range choice {
			choice[h] = int(binary.LittleEndian.Uint32([]byte(e.key[4*h:])))
		}
		ends = append(ends, end{choice, e.value})
	}
	return ends
}

func descending(a, b end) int { return cmp.Compare(b.reward, a.reward) }

// keep adds e to the best ends, unless it is there.
func keep(list []end, e end) []end {
	if slices.ContainsFunc(list, func(o end) bool { return slices.Equal(o.choice, e.choice) }) {
		return list
	}
	list = append(list, e)
	slices.SortStableFunc(list, descending)
	return list[:min(len(list), ends)]
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
				distances[v] = mesh.Distance(p, q)
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
	stride int   // every stride-th draw is valued
	rough  *walk // of fewer draws, nil for none: what it holds to be much worse is not looked at
}

// scatter sets n of the knobs of a choice at random, within the limits.
func (w *walk) scatter(rng *rand.Rand, choice []int, n int) {
	for _, h := range rng.Perm(len(choice))[:n] {
		choice[h] = rng.IntN(w.space.Choices()[h])
	}
	w.space.Fit(choice)
}

func (w *walk) value(choice []int) (float64, error) {
	v, ok := w.look(choice)
	if ok {
		return v, nil
	}
	v, err := w.values.some(choice, w.stride)
	w.known[string(w.key)] = v
	return v, err
}

// look is the value of a choice if it is known, else w.key is its key.
func (w *walk) look(choice []int) (float64, bool) {
	w.key = w.key[:0]
	for _, c := range choice {
		w.key = binary.LittleEndian.AppendUint32(w.key, uint32(c))
	}
	v, ok := w.known[string(w.key)]
	return v, ok
}

// foresee values the choices that are about to be looked at, where the model
// foresees many at once faster than one by one. vary sets choice to one after the other.
func (w *walk) foresee(choice []int, vary func(look func())) error {
	if !w.values.batched() || w.rough != nil {
		return nil
	}
	var list [][]int
	vary(func() {
		if _, ok := w.look(choice); !ok {
			list = append(list, slices.Clone(choice))
		}
	})
	values, err := w.values.several(list, w.stride)
	for k, v := range values {
		w.look(list[k])
		w.known[string(w.key)] = v
	}
	return err
}

const (
	// gain is by how much another action must pay more.
	gain = 1e-12
	// slack is the share of a reward by which one of fewer draws may fall short of
	// another's and yet belong to the better action.
	slack = .01
)

// attempt is a choice that is being changed for one that pays more.
type attempt struct {
	choice []int
	top    float64
	least  float64 // that the rough value must be to be looked at
}

func (w *walk) begin(choice []int, top float64) (attempt, error) {
	a := attempt{choice, top, 0}
	if w.rough == nil {
		return a, nil
	}
	v, err := w.rough.value(choice)
	a.least = v - slack*math.Abs(v)
	return a, err
}

// better values the attempt's choice and reports whether it pays more.
func (w *walk) better(a *attempt) (bool, error) {
	if w.rough != nil {
		v, err := w.rough.value(a.choice)
		if err != nil || v < a.least {
			return false, err
		}
	}
	v, err := w.value(a.choice)
	if err != nil || v <= a.top+gain {
		return false, err
	}
	a.top = v
	return true, nil
}

// climb sets knob after knob until none pays more. It changes choice.
func (w *walk) climb(choice []int) (end, error) {
	top, err := w.value(choice)
	if err != nil {
		return end{}, err
	}
	for still := 0; still < len(choice); {
		for h, n := range w.space.Choices() {
			a, err := w.begin(choice, top)
			if err != nil {
				return end{}, err
			}
			before := choice[h]
			best := before
			if err := w.foresee(choice, func(look func()) {
				for choice[h] = range n {
					look()
				}
			}); err != nil {
				return end{}, err
			}
			for u := range n {
				choice[h] = u
				ok, err := w.better(&a)
				if err != nil {
					return end{}, err
				}
				if ok {
					best = u
				}
			}
			choice[h], top = best, a.top
			if still++; best != before {
				still = 0
			}
			if still >= len(choice) {
				break
			}
		}
	}
	return end{choice, top}, nil
}

// climbPairs sets pairs of knobs, and single ones again, until none pays more.
func (w *walk) climbPairs(from end) (end, error) {
	choice, top := slices.Clone(from.choice), from.reward
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
				a, err := w.begin(choice, top)
				if err != nil {
					return end{}, err
				}
				x, y := choice[g], choice[h]
				bx, by := x, y
				if err := w.foresee(choice, func(look func()) {
					for _, choice[g] = range first {
						for _, choice[h] = range second {
							look()
						}
					}
				}); err != nil {
					return end{}, err
				}
				for _, u := range first {
					for _, v := range second {
						choice[g], choice[h] = u, v
						ok, err := w.better(&a)
						if err != nil {
							return end{}, err
						}
						if ok {
							bx, by = u, v
						}
					}
				}
				choice[g], choice[h], top = bx, by, a.top
				again = again || bx != x || by != y
			}
		}
		if again {
			e, err := w.climb(choice)
			if err != nil {
				return end{}, err
			}
			choice, top = e.choice, e.reward
		}
	}
	return end{choice, top}, nil
}
