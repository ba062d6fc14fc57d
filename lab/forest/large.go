package forest

import (
	"math/bits"
	"slices"
)

// histogram holds, for each code of each feature, the sum of the targets of
// the node's rows with that code.
type histogram struct {
	base []int // feature f, code c is bin base[f]+c; base[f] may be negative
	size int   // bins per plane
	bins []sum // planes x size
}

// Histograms up to this many bins are filled row by row; in larger ones each
// feature is filled in turn, for the cache's sake.
const rowWiseBins = 2048

// chooseLarge finds the best split of a node from histograms. It leaves a
// histogram over all features in t.hist if it made one.
func (g *grower) chooseLarge(t *task, b []bounds) (choice, bool) {
	items := g.perm[t.start:t.end]
	if t.hist == nil {
		g.recode(items, b)
	}
	g.found = g.found[:0]
	active := g.features[:0]
	for f, r := range b {
		if r.lo < r.hi {
			active = append(active, f)
		}
	}
	g.features = active
	if g.cfg.MaxFeatures == g.b.data.features {
		if t.hist == nil {
			t.hist = g.acquire(b, active)
			g.fill(t.hist, items, b, active)
		}
		for _, f := range active {
			g.scan(t.hist, f, b[f])
		}
	} else {
		g.drawFeatures(active, items, b)
	}
	c, ok := g.pick(g.found)
	return choice{c.feature, c.lo, c.hi}, ok
}

// drawFeatures looks at features in random order until enough of those that
// vary in the node were seen.
func (g *grower) drawFeatures(active []int, items []uint32, b []bounds) {
	varying := 0
	for i := range active {
		j := i + g.below(len(active)-i)
		active[i], active[j] = active[j], active[i]
		one := active[i : i+1]
		h := g.acquire(b, one)
		g.fill(h, items, b, one)
		if g.scan(h, active[i], b[active[i]]) {
			varying++
		}
		g.release(h)
		if varying == g.cfg.MaxFeatures {
			return
		}
	}
}

// acquire returns an empty histogram with bins for the given features.
func (g *grower) acquire(b []bounds, features []int) *histogram {
	h := g.reuse()
	h.base = slices.Grow(h.base[:0], len(b))[:len(b)]
	h.size = 0
	for _, f := range features {
		h.base[f] = h.size - int(b[f].lo)
		h.size += int(b[f].hi-b[f].lo) + 1
	}
	h.clear(g.t.planes)
	return h
}

func (g *grower) reuse() *histogram {
	if n := len(g.histograms); n > 0 {
		h := g.histograms[n-1]
		g.histograms = g.histograms[:n-1]
		return h
	}
	return &histogram{}
}

func (h *histogram) clear(planes int) {
	n := h.size * planes
	h.bins = slices.Grow(h.bins[:0], n)[:n]
	clear(h.bins)
}

func (g *grower) release(h *histogram) {
	if h != nil {
		g.histograms = append(g.histograms, h)
	}
}

// fill adds the given items to h.
func (g *grower) fill(h *histogram, items []uint32, b []bounds, features []int) {
	nf, m := g.b.data.features, g.t.cells.len()
	if useAVX2 && h.size <= rowWiseBins {
		for p := range g.t.planes {
			fillAVX2(&h.bins[p*h.size], &g.sums[p*m], &items[0], len(items), &g.code[0], nf, &features[0], len(features), &h.base[0])
		}
		return
	}
	for p := range g.t.planes {
		bins := h.bins[p*h.size : (p+1)*h.size]
		sums := g.sums[p*m : (p+1)*m]
		if h.size > rowWiseBins {
			for _, f := range features {
				for _, q := range items {
					bins[h.base[f]+int(g.code[int(q)*nf+f])].add(&sums[q])
				}
			}
			continue
		}
		for _, q := range items {
			codes := g.code[int(q)*nf : int(q)*nf+nf]
			s := &sums[q]
			for _, f := range features {
				bins[h.base[f]+int(codes[f])].add(s)
			}
		}
	}
}

// share gives the larger child the histogram of its parent less that of the
// smaller child, if that is less work than filling one from scratch.
func (g *grower) share(h *histogram, left, right *task, b []bounds, c choice) {
	if h == nil {
		return
	}
	smaller, larger := left, right
	if left.end-left.start > right.end-right.start {
		smaller, larger = right, left
	}
	n := larger.end - larger.start
	if n <= smallItems || h.size > n || len(g.stack) > maxShared {
		g.release(h)
		return
	}
	s := g.reuse()
	s.base = append(s.base[:0], h.base...)
	s.size = h.size
	s.clear(g.t.planes)
	g.fill(s, g.perm[smaller.start:smaller.end], b, g.features)
	for i := range h.bins {
		h.bins[i].sub(&s.bins[i])
	}
	larger.hist = h
	if smaller.end-smaller.start > smallItems {
		smaller.hist = s
	} else {
		g.release(s)
	}
}

// Beyond this many pending nodes (a degenerate tree), histograms are not kept.
const maxShared = 64

// scan adds the best split by feature f, if there is one, to g.found, and tells
// whether f varies in the node.
func (g *grower) scan(h *histogram, f int, r bounds) bool {
	first, last := h.base[f]+int(r.lo), h.base[f]+int(r.hi)
	n := last - first + 1
	g.gains = slices.Grow(g.gains[:0], n)[:n]
	clear(g.gains)
	rows := 0
	for p := range g.t.planes {
		bins := h.bins[p*h.size+first : p*h.size+last+1]
		var total, left sum
		for i := range bins {
			total.add(&bins[i])
		}
		mean, count := total.mean(), total.count()
		rows = total.rows()
		if useAVX2 && g.t.planes == 1 {
			gainsAVX2(&bins[0], n, &total, &mean, &g.t.reciprocal[0], &g.gains[0])
			break
		}
		for i := range bins {
			if bins[i].n == 0 {
				continue
			}
			left.add(&bins[i])
			w := left.count()
			if w == count {
				break
			}
			g.gains[i] += left.deviation(&mean) * (g.t.reciprocal[w] + g.t.reciprocal[count-w])
		}
	}
	varies := false
	best := candidate{gain: -1, feature: f}
	seen := 0
	bins := h.bins[first : last+1]
	for i := range bins {
		k := bins[i].rows()
		if k == 0 {
			continue
		}
		if seen += k; seen == rows {
			break
		}
		varies = true
		if g.gains[i] > best.gain && seen >= g.cfg.MinLeaf && rows-seen >= g.cfg.MinLeaf {
			best.gain, best.lo = g.gains[i], r.lo+uint32(i)
		}
	}
	if best.gain >= 0 {
		best.hi = nextCode(bins, r.lo, best.lo)
		g.found = append(g.found, best)
	}
	return varies
}

// nextCode returns the smallest code above c that has rows.
func nextCode(bins []sum, lo, c uint32) uint32 {
	i := c - lo + 1
	for bins[i].n == 0 {
		i++
	}
	return lo + i
}

// recode ranks the codes of a feature anew, among the node's items, when there
// are many more codes than items. This keeps histograms about as large as
// nodes, for features with any number of levels.
func (g *grower) recode(items []uint32, b []bounds) {
	nf := g.b.data.features
	for f, r := range b {
		if int(r.hi-r.lo) < 2*len(items) {
			continue
		}
		words := int(r.hi-r.lo)/64 + 1
		g.bitmap = slices.Grow(g.bitmap[:0], words)[:words]
		g.bitmapRank = slices.Grow(g.bitmapRank[:0], words)[:words]
		clear(g.bitmap)
		for _, q := range items {
			c := g.code[int(q)*nf+f] - r.lo
			g.bitmap[c/64] |= 1 << (c % 64)
		}
		rank := uint32(0)
		for i, word := range g.bitmap {
			g.bitmapRank[i] = rank
			rank += uint32(bits.OnesCount64(word))
		}
		for _, q := range items {
			c := g.code[int(q)*nf+f] - r.lo
			below := g.bitmap[c/64] & (1<<(c%64) - 1)
			g.code[int(q)*nf+f] = g.bitmapRank[c/64] + uint32(bits.OnesCount64(below))
		}
		b[f] = bounds{0, rank - 1}
	}
}
