package trace

import (
	"encoding/binary"
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
	number, distinct := a.actions(a.rows)
	if distinct == 1 {
		return &Finding{NotRandom, "there is one action only", fmt.Sprintf("All %d steps have the action %s.",
			len(a.rows), a.meta.Space.Format(a.actionOf(a.rows[0]))), map[string]float64{"actions": 1}}
	}
	repeated := 0
	for r := 1; r < len(number); r++ {
		if number[r] == number[r-1] {
			repeated++
		}
	}
	lag, component := a.lag()
	even, space := a.evenness(number, distinct)
	ordered := math.Abs(lag)*math.Sqrt(float64(len(a.rows))) > significant
	gridded := even < -significant
	if !ordered && !gridded {
		return nil
	}
	cells, fewest, most := a.cells(number)
	figures := map[string]float64{
		"actions": float64(distinct), "cells": float64(cells), "fewest_per_cell": float64(fewest), "most_per_cell": float64(most),
		"repeated": float64(repeated), "lag_correlation": lag,
	}
	var parts []string
	if ordered {
		parts = append(parts, fmt.Sprintf("%d of %d steps have the action of the step before, and %s correlates with its last value by %.4f",
			repeated, len(a.rows)-1, component, lag))
		if slices.IsSorted(a.values(component)) {
			figures["sorted"] = 1
			parts = append(parts, "the trace is sorted by "+component)
		}
	}
	if gridded {
		figures["space"], figures["evenness_z"] = space, even
		parts = append(parts, fmt.Sprintf("%d of %.0f actions come more evenly than by chance (%.0f standard deviations)", distinct, space, -even))
	}
	parts = append(parts, fmt.Sprintf("%d cells of loads (in quarters of the highest) and action have %d to %d steps each", cells, fewest, most))
	return &Finding{NotRandom, "actions follow a grid or an order, they are not random", strings.Join(parts, "; ") + ".", figures}
}

// values are a column's, in the rows that are tested.
func (a *auditor) values(name string) []float64 {
	c, err := a.find(name)
	if err != nil {
		panic(err.Error())
	}
	v := make([]float64, len(a.rows))
	for k, r := range a.rows {
		v[k] = *c.cell(a.Table, r)
	}
	return v
}

// lag is the lag-1 autocorrelation of the value of the action that has the
// largest. Knobs that move by steps follow their last value by design.
func (a *auditor) lag() (correlation float64, name string) {
	for _, knob := range a.meta.Space.Knobs() {
		if knob.Step > 0 {
			continue
		}
		for _, column := range knob.Columns[:knob.Free] {
			v := a.values(column)
			if c := stat.Correlation(v[1:], v[:len(v)-1], nil); math.Abs(c) > math.Abs(correlation) {
				correlation, name = c, column
			}
		}
	}
	return correlation, name
}

// evenness is Pearson's statistic of the number of steps by action, in standard
// deviations from its mean under equal chances: very negative for a grid. It is
// 0 for actions that are on no grid.
func (a *auditor) evenness(number []int, distinct int) (z, space float64) {
	size := a.spaceSize()
	if size == 0 || size < float64(distinct) {
		return 0, 0
	}
	counts := make([]float64, distinct)
	for _, k := range number {
		counts[k]++
	}
	sum := 0.0
	for _, c := range counts {
		sum += float64(c * c)
	}
	n := float64(len(number))
	pearson := sum*size/n - n
	return (pearson - (size - 1)) / math.Sqrt(2*(size-1)*(n-1)/n), size
}

// A point that is drawn this often on average is hardly missed.
const perPoint = 5

// spaceSize is the number of actions that the trace's were drawn from: the
// product of the points that each knob was set to, or of all that it has where
// there are too many for all to be seen. It is 0 where a knob was set to values
// of no grid.
func (a *auditor) spaceSize() float64 {
	size := 1.0
	for h := range a.meta.Space.Knobs() {
		knob := &a.meta.Space.Knobs()[h]
		seen := map[string]bool{}
		onGrid := true
		var key []byte
		for _, r := range a.rows {
			values := knob.Values(a.actionOf(r))
			key = key[:0]
			for _, v := range values {
				key = binary.LittleEndian.AppendUint64(key, math.Float64bits(rounded(v)))
			}
			if !seen[string(key)] {
				seen[string(key)] = true
				onGrid = onGrid && knob.Index(values) >= 0
			}
		}
		switch {
		case len(seen)*perPoint <= len(a.rows):
			size *= float64(len(seen))
		case onGrid:
			size *= float64(len(knob.Points))
		default:
			return 0
		}
	}
	return size
}

// cells counts the steps by action and loads, these in quarters of the highest.
func (a *auditor) cells(number []int) (cells, fewest, most int) {
	count := map[string]int{}
	var key []byte
	for at, k := range number {
		key = binary.AppendVarint(key[:0], int64(k))
		for i := range a.m {
			key = binary.AppendVarint(key, int64(a.quarter(a.rows[at], i)))
		}
		count[string(key)]++
	}
	fewest = len(number)
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
	if _, distinct := a.actions(a.reference); distinct > 1 || !t.oneLoad() {
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
		names = append(names, a.Mesh().DelayName(i))
	}
	names = append(names, a.DelayNames()...)
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
		if !missing(x) {
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
