package forest

import "math/bits"

// partItems is the number of items up to which dense grows a subtree as
// sets of items, in a copy of them: as many as a word has bits.
const partItems = 64

// part is a subtree: its items, with the levels that occur among them numbered
// anew, so that there are few bins.
type part struct {
	layout layout
	items  [partItems]item
	row    [partItems]uint32
	upTo   [denseBins]uint64 // items with a level of at most that of the bin
	stack  []partTask
}

// partTask is a node to be grown, as a set of items.
type partTask struct {
	set      uint64
	features uint64 // that can split its parent
	hist     *bins  // or nil, if the node is single or will be split as a pair
	node     uint32
	depth    int
}

// growPart grows the subtree of a node with at most partItems items.
func (e *dense) growPart(t task) {
	p := &e.part
	h := e.loadPart(t)
	e.search.layout = &p.layout
	p.stack = append(p.stack[:0], partTask{^uint64(0) >> (partItems - (t.end - t.start)), t.features, h, t.node, t.depth})
	for len(p.stack) > 0 {
		now := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		for e.splitSet(&now) {
		}
	}
	e.search.layout = &e.whole
}

// loadPart copies the items of t and returns its histogram in the new layout.
func (e *dense) loadPart(t task) *bins {
	p := &e.part
	l := &p.layout
	l.size = 0
	h := e.take()
	var bin [denseBins]uint16 // from old to new
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		l.first[f] = int64(l.size)
		for k := e.whole.first[f]; k < e.whole.first[f]+e.whole.count[f]; k++ {
			// Overwritten by the next level if this one does not occur.
			n := l.size % denseBins
			bin[k] = uint16(n)
			l.level[n] = e.whole.level[k]
			h.y[n], h.n[n] = t.hist.y[k], t.hist.n[k]
			p.upTo[n] = 0
			l.size += int(min(t.hist.n[k], 1))
		}
		l.count[f] = int64(l.size) - l.first[f]
	}
	e.give(t.hist)
	for k, q := range e.perm[t.start:t.end] {
		i := &p.items[k]
		*i = e.items[q]
		p.row[k] = e.row[q]
		for m := t.features; m != 0; m &= m - 1 {
			f := bits.TrailingZeros64(m) & (denseFeatures - 1)
			b := bin[i.bin[f]/binScale%denseBins]
			i.bin[f] = b * binScale
			p.upTo[b%denseBins] |= 1 << k
		}
	}
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		for k := l.first[f] + 1; k < l.first[f]+l.count[f]; k++ {
			p.upTo[k] |= p.upTo[k-1]
		}
	}
	return h
}

// splitSet splits the node of t, makes t its left child, and pushes the right
// one; or it makes the node a leaf, or two, and returns false.
func (e *dense) splitSet(t *partTask) bool {
	p := &e.part
	if t.set&(t.set-1) == 0 || !e.maySplitSet(t) {
		e.leafSet(t.node, t.set)
		e.give(t.hist)
		return false
	}
	if t.hist == nil {
		e.splitPair(t)
		return false
	}
	c, ok := e.best(t.hist, t.features)
	if !ok {
		e.leafSet(t.node, t.set)
		e.give(t.hist)
		return false
	}
	level := &p.layout.level
	child := e.b.split(t.node, c.feature, level[c.lo], level[c.hi])
	left := partTask{t.set & p.upTo[c.lo], e.search.features, nil, child, t.depth + 1}
	right := partTask{t.set &^ p.upTo[c.lo], e.search.features, nil, child + 1, t.depth + 1}
	e.shareSet(t.hist, &left, &right)
	p.stack = append(p.stack, right)
	*t = left
	return true
}

// maySplitSet is maySplit for a node of the part.
func (e *dense) maySplitSet(t *partTask) bool {
	if e.cfg.MaxDepth != 0 && t.depth >= e.cfg.MaxDepth {
		return false
	}
	items := &e.part.items
	first := items[bits.TrailingZeros64(t.set)&(partItems-1)].class
	for m := t.set & (t.set - 1); m != 0; m &= m - 1 {
		if items[bits.TrailingZeros64(m)&(partItems-1)].class != first {
			return true
		}
	}
	return false
}

// splitPair parts two items, by one of the features that could split the
// parent. Every feature that varies does it equally well.
func (e *dense) splitPair(t *partTask) {
	p := &e.part
	i, j := bits.TrailingZeros64(t.set)&(partItems-1), (63-bits.LeadingZeros64(t.set))&(partItems-1)
	a, b := &p.items[i].bin, &p.items[j].bin
	var varying [denseFeatures]uint8
	k := 0
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		varying[k&(denseFeatures-1)] = uint8(f)
		if a[f] != b[f] {
			k++
		}
	}
	f := varying[0] & (denseFeatures - 1)
	if k > 1 {
		f = varying[e.below(k)&(denseFeatures-1)] & (denseFeatures - 1)
	}
	if a[f] > b[f] {
		a, b = b, a
		i, j = j, i
	}
	level := &p.layout.level
	child := e.b.split(t.node, int(f), level[a[f]/binScale%denseBins], level[b[f]/binScale%denseBins])
	e.leafSet(child, 1<<i)
	e.leafSet(child+1, 1<<j)
}

// shareSet is share for nodes of the part.
func (e *dense) shareSet(h *bins, left, right *partTask) {
	smaller, larger := left, right
	if bits.OnesCount64(left.set) > bits.OnesCount64(right.set) {
		smaller, larger = right, left
	}
	if !e.needsHistSet(larger.set) {
		e.give(h)
		return
	}
	if e.needsHistSet(smaller.set) {
		smaller.hist = e.acquire()
		e.addSet(smaller.hist, smaller.set, smaller.features, false)
	}
	if smaller.hist != nil && bits.OnesCount64(smaller.set) > fewItems {
		h.sub(smaller.hist, e.part.layout.size)
	} else {
		e.addSet(h, smaller.set, larger.features, true)
	}
	larger.hist = h
}

// needsHistSet tells whether a node may be split otherwise than as a pair.
func (e *dense) needsHistSet(set uint64) bool {
	rest := set & (set - 1)
	return rest != 0 && (rest&(rest-1) != 0 || e.cfg.MinLeaf > 1)
}

// addSet adds items to the bins of some features, or subtracts them.
func (e *dense) addSet(h *bins, set, features uint64, subtract bool) {
	if useAVX2 {
		negate := uint64(0)
		if subtract {
			negate--
		}
		addSetAVX2(h, &e.part.items[0], set, features, negate)
		return
	}
	for ; set != 0; set &= set - 1 {
		h.add(&e.part.items[bits.TrailingZeros64(set)], features, subtract)
	}
}

func (e *dense) leafSet(node uint32, set uint64) {
	p := &e.part
	if set&(set-1) == 0 {
		if i := bits.TrailingZeros64(set) & (partItems - 1); uint32(p.items[i].n) == 1 {
			e.b.nodes[node] = leafNode(p.row[i])
			return
		}
	}
	e.cells = e.cells[:0]
	for ; set != 0; set &= set - 1 {
		e.cells = append(e.cells, p.items[bits.TrailingZeros64(set)&(partItems-1)].cell)
	}
	e.b.leafOf(node, &e.t.cells, e.cells)
}
