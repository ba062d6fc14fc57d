package trace

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/meshbench/meshbench/lab/internal/median"
)

// notRandom tests whether actions were drawn independently and with equal
// chance: a component must not depend on the one before, and actions must not
// come more evenly than chance makes them.
func (a *auditor) notRandom() *Finding {
	if len(a.rows) < 50 { // too few to tell
		return nil
	}
	t := a.Subset(a.rows)
	number, distinct := t.actions()
	if distinct == 1 {
		return &Finding{NotRandom, "there is one action only", fmt.Sprintf("All %d steps have the action %s.",
			t.Len(), a.meta.Mesh.FormatAction(t.Row(0).Action)), map[string]float64{"actions": 1}}
	}
	repeated := 0
	for r := 1; r < len(number); r++ {
		if number[r] == number[r-1] {
			repeated++
		}
	}
	lag, component := t.lag()
	even, space := t.evenness(number, distinct)
	ordered := math.Abs(lag)*math.Sqrt(float64(t.Len())) > significant
	gridded := even < -significant
	if !ordered && !gridded {
		return nil
	}
	cells, fewest, most := t.cells(number)
	figures := map[string]float64{
		"actions": float64(distinct), "cells": float64(cells), "fewest_per_cell": float64(fewest), "most_per_cell": float64(most),
		"repeated": float64(repeated), "lag_correlation": lag,
	}
	var parts []string
	if ordered {
		parts = append(parts, fmt.Sprintf("%d of %d steps have the action of the step before, and %s correlates with its last value by %.4f",
			repeated, t.Len()-1, component, lag))
		if t.sorted(component) {
			figures["sorted"] = 1
			parts = append(parts, "the trace is sorted by "+component)
		}
	}
	if gridded {
		figures["space"], figures["evenness_z"] = float64(space), even
		parts = append(parts, fmt.Sprintf("%d of %d actions come more evenly than by chance (%.0f standard deviations)", distinct, space, -even))
	}
	parts = append(parts, fmt.Sprintf("%d cells of loads (in fives) and action have %d to %d steps each", cells, fewest, most))
	return &Finding{NotRandom, "actions follow a grid or an order, they are not random", strings.Join(parts, "; ") + ".", figures}
}

// freeNames are the action's columns among the features.
func (t *Table) freeNames() []string { return t.meta.Mesh.FeatureNames()[t.m:] }

// lag is the lag-1 autocorrelation of the component of the action that has the
// largest.
func (t *Table) lag() (correlation float64, name string) {
	for _, component := range t.freeNames() {
		v, err := t.Column(component)
		if err != nil {
			panic("trace: " + err.Error())
		}
		if c := stat.Correlation(v[1:], v[:len(v)-1], nil); math.Abs(c) > math.Abs(correlation) {
			correlation, name = c, component
		}
	}
	return correlation, name
}

func (t *Table) sorted(name string) bool {
	v, err := t.Column(name)
	return err == nil && slices.IsSorted(v)
}

// evenness is Pearson's statistic of the number of steps by action, in standard
// deviations from its mean under equal chances: very negative for a grid. It is
// 0 for actions that are on no grid.
func (t *Table) evenness(number []int, distinct int) (z float64, space int) {
	size := t.spaceSize()
	if size == 0 || size < float64(distinct) {
		return 0, 0
	}
	counts := make([]float64, distinct)
	for _, k := range number {
		counts[k]++
	}
	sum := 0.0
	for _, c := range counts {
		sum += c * c
	}
	n := float64(len(number))
	pearson := sum*size/n - n
	return (pearson - (size - 1)) / math.Sqrt(2*(size-1)*(n-1)/n), int(size)
}

// maxLevels bounds the grids that are tried: steps of .05.
const maxLevels = 21

// spaceSize is the number of actions of the coarsest grid that holds all
// actions of the trace, 0 when there is none.
func (t *Table) spaceSize() float64 {
	for levels := 2; levels <= maxLevels; levels++ {
		if !t.onGrid(float64(levels - 1)) {
			continue
		}
		// Ways to share levels-1 units among n nodes: binomial(levels-1+n-1, n-1).
		points := 1.0
		for j := 1; j < t.n; j++ {
			points = points * float64(levels-1+j) / float64(j)
		}
		return math.Pow(math.Round(points)*float64(levels), float64(t.m))
	}
	return 0
}

func (t *Table) onGrid(units float64) bool {
	for _, slab := range [][]float64{t.route, t.block} {
		for _, v := range slab {
			if math.Abs(v*units-math.Round(v*units)) > 1e-6*units {
				return false
			}
		}
	}
	return true
}

// cells counts the steps by action and loads, these to the nearest 5
// requests/s.
func (t *Table) cells(number []int) (cells, fewest, most int) {
	count := map[string]int{}
	for r, k := range number {
		key := fmt.Appendf(nil, "%d", k)
		for _, l := range part(t.load, r, t.m) {
			key = fmt.Appendf(key, " %d", int(math.Round(l/5)))
		}
		count[string(key)]++
	}
	fewest = t.Len()
	for _, c := range count {
		fewest, most = min(fewest, c), max(most, c)
	}
	return len(count), fewest, most
}

// The reference cell's repeats are cut into blocks of at least this many, at
// most maxBlocks of them.
const (
	blockRows = 5
	maxBlocks = 10
)

// Drift is a finding when blocks of the run differ with this probability under
// chance (shared among the delays tested) and by this part of the median.
const (
	driftProbability = 1e-3
	driftEffect      = .05
)

// referenceDrift compares the delays of the reference cell between parts of the
// run, by the Kruskal-Wallis test: the noise is what they vary by within a
// part.
func (a *auditor) referenceDrift() *Finding {
	t := a.Subset(a.reference)
	if _, distinct := t.actions(); distinct > 1 || !t.oneLoad() {
		return &Finding{ReferenceDrift, "the reference cell is not one cell",
			fmt.Sprintf("Steps divisible by %d should repeat one load and action; %d of them do not agree.", a.meta.Reference, t.Len()),
			map[string]float64{"steps": float64(t.Len())}}
	}
	blocks := min(t.Len()/blockRows, maxBlocks)
	if blocks < 2 {
		return nil
	}
	var names []string
	for i := range a.m {
		names = append(names, a.meta.Mesh.DelayName(i))
	}
	names = append(names, a.NodeDelayNames()...)
	figures := map[string]float64{}
	var parts []string
	for _, name := range names {
		v, err := t.Column(name)
		if err != nil {
			panic("trace: " + err.Error())
		}
		groups := split(v, blocks)
		if groups == nil {
			continue
		}
		low, high := math.Inf(1), math.Inf(-1)
		for _, g := range groups {
			low, high = min(low, median.Of(g)), max(high, median.Of(g))
		}
		effect := (high - low) / median.Of(slices.Concat(groups...))
		p := kruskalWallis(groups)
		if p > driftProbability/float64(len(names)) || effect < driftEffect {
			continue
		}
		figures[name+"_low"], figures[name+"_high"], figures[name+"_p"] = low, high, p
		parts = append(parts, fmt.Sprintf("%s has medians from %.4g to %.4g s (p = %.1g)", name, low, high, p))
	}
	if parts == nil {
		return nil
	}
	return &Finding{ReferenceDrift, "the testbed changed during the run",
		fmt.Sprintf("The reference cell's %d repeats in %d parts of the run: %s.", t.Len(), blocks, strings.Join(parts, "; ")), figures}
}

func (t *Table) oneLoad() bool {
	for k, l := range t.load {
		if l != t.load[k%t.m] {
			return false
		}
	}
	return true
}

// split cuts v into consecutive blocks without its missing values; nil when a
// block has fewer than 3.
func split(v []float64, blocks int) [][]float64 {
	groups := make([][]float64, blocks)
	for k, x := range v {
		if !math.IsNaN(x) {
			b := k * blocks / len(v)
			groups[b] = append(groups[b], x)
		}
	}
	for _, g := range groups {
		if len(g) < 3 {
			return nil
		}
	}
	return groups
}

// kruskalWallis is the probability that groups of one distribution differ as
// much in their ranks as these do (chi-square approximation, corrected for
// ties).
func kruskalWallis(groups [][]float64) float64 {
	type value struct {
		x     float64
		group int
	}
	var all []value
	for g, v := range groups {
		for _, x := range v {
			all = append(all, value{x, g})
		}
	}
	slices.SortFunc(all, func(a, b value) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	n := float64(len(all))
	ranks := make([]float64, len(groups))
	ties := 0.0
	for from := 0; from < len(all); {
		to := from
		for to < len(all) && all[to].x == all[from].x {
			to++
		}
		rank := float64(from+1+to) / 2
		for _, v := range all[from:to] {
			ranks[v.group] += rank
		}
		k := float64(to - from)
		ties += k*k*k - k
		from = to
	}
	h := 0.0
	for g, v := range groups {
		h += ranks[g] * ranks[g] / float64(len(v))
	}
	h = 12/(n*(n+1))*h - 3*(n+1)
	correction := 1 - ties/(n*n*n-n)
	if correction <= 0 { // all values are equal
		return 1
	}
	return distuv.ChiSquared{K: float64(len(groups) - 1)}.Survival(h / correction)
}
