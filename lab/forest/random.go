package forest

import (
	"context"
	"math/rand/v2"
	"slices"
)

// randomGrower grows trees whose thresholds are drawn at random between the
// smallest and the largest value of a feature in the node, one for each
// feature, of which the best is taken (extremely randomised trees; Geurts et
// al., Machine Learning 63, 2006; scikit-learn's ExtraTreesRegressor).
type randomGrower struct {
	b    *builder
	cfg  Config
	mean []float64 // of the targets, which are centred to keep sums exact

	rows, right []uint32
	features    []int
	left, all   []float64
	stack       []task
}

func newRandomGrower(b *builder, cfg Config) *randomGrower {
	d := b.data
	g := &randomGrower{b: b, cfg: cfg, mean: make([]float64, d.outputs), left: make([]float64, d.outputs), all: make([]float64, d.outputs)}
	for i, v := range d.y {
		g.mean[i%d.outputs] += v / float64(d.rows)
	}
	for f := range d.features {
		g.features = append(g.features, f)
	}
	return g
}

// grow fills the builder with a tree for its bootstrap sample.
func (g *randomGrower) grow(ctx context.Context, tree int) error {
	rng := rand.New(rand.NewPCG(g.cfg.Seed, 1<<63|uint64(tree)))
	for f := range g.features {
		g.features[f] = f
	}
	g.rows = append(g.rows[:0], g.b.bag...)
	g.right = slices.Grow(g.right[:0], len(g.rows))[:len(g.rows)]
	g.stack = append(g.stack[:0], task{end: len(g.rows)})
	for len(g.stack) > 0 {
		t := g.stack[len(g.stack)-1]
		g.stack = g.stack[:len(g.stack)-1]
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := g.rows[t.start:t.end]
		c, ok := choice{}, false
		if len(rows) >= 2*g.cfg.MinLeaf && (g.cfg.MaxDepth == 0 || t.depth < g.cfg.MaxDepth) && g.varies(rows) {
			c, ok = g.choose(rows, rng)
		}
		if !ok {
			g.b.leaf(t.node, rows...)
			continue
		}
		mid := t.start + g.partition(rows, c)
		child := g.b.split(t.node, c.feature, c.lo, c.hi)
		g.stack = append(g.stack, task{start: mid, end: t.end, node: child + 1, depth: t.depth + 1},
			task{start: t.start, end: mid, node: child, depth: t.depth + 1})
	}
	return nil
}

// varies tells whether two rows have different targets.
func (g *randomGrower) varies(rows []uint32) bool {
	k := g.b.data.outputs
	first := g.b.data.y[int(rows[0])*k:][:k]
	for _, r := range rows[1:] {
		if !slices.Equal(g.b.data.y[int(r)*k:][:k], first) {
			return true
		}
	}
	return false
}

// choose draws a threshold for each of MaxFeatures features that vary and
// returns the best split, false when none leaves MinLeaf rows on both sides.
func (g *randomGrower) choose(rows []uint32, rng *rand.Rand) (best choice, ok bool) {
	d := g.b.data
	clear(g.all)
	total := 0.0
	for _, r := range rows {
		w := float64(g.b.count[r])
		total += w
		for o := range g.all {
			g.all[o] += w * (d.y[int(r)*d.outputs+o] - g.mean[o])
		}
	}
	top, tried := 0.0, 0
	for i := range g.features {
		if tried == g.cfg.MaxFeatures {
			break
		}
		// The next of a random permutation.
		j := i + rng.IntN(len(g.features)-i)
		g.features[i], g.features[j] = g.features[j], g.features[i]
		f := g.features[i]
		lo, hi := ^uint32(0), uint32(0)
		for _, r := range rows {
			code := d.codes[int(r)*d.features+f]
			lo, hi = min(lo, code), max(hi, code)
		}
		if lo == hi {
			continue
		}
		tried++
		levels := d.levels[f]
		at, found := slices.BinarySearch(levels, levels[lo]+rng.Float64()*(levels[hi]-levels[lo]))
		if !found {
			at-- // the last level below the threshold
		}
		c := choice{f, lo, hi} // lo and hi close in on the threshold
		cut := min(max(uint32(at), lo), hi-1)
		clear(g.left)
		weight, n := 0.0, 0
		for _, r := range rows {
			code := d.codes[int(r)*d.features+f]
			if code > cut {
				c.hi = min(c.hi, code)
				continue
			}
			c.lo = max(c.lo, code)
			n++
			w := float64(g.b.count[r])
			weight += w
			for o := range g.left {
				g.left[o] += w * (d.y[int(r)*d.outputs+o] - g.mean[o])
			}
		}
		if n < g.cfg.MinLeaf || len(rows)-n < g.cfg.MinLeaf {
			continue
		}
		gain := 0.0
		for o, l := range g.left {
			e := l - weight/total*g.all[o]
			gain += e * e
		}
		gain *= 1/weight + 1/(total-weight)
		if !ok || gain > top {
			best, top, ok = c, gain, true
		}
	}
	return best, ok
}

// partition moves the rows that go left to the front, both sides in their
// former order, and returns their number.
func (g *randomGrower) partition(rows []uint32, c choice) int {
	d := g.b.data
	left, right := 0, 0
	for _, r := range rows {
		if d.codes[int(r)*d.features+c.feature] <= c.lo {
			rows[left] = r
			left++
		} else {
			g.right[right] = r
			right++
		}
	}
	copy(rows[left:], g.right[:right])
	return left
}
