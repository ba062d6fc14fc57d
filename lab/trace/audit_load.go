package trace

import (
	"fmt"
	"math"
	"strings"
)

// cell of the audit's table of loads: a quarter of the service's highest load
// by .05 of blocking.
type loadCell struct{ load, block int }

func (a *auditor) cellOf(r, i int) loadCell {
	return loadCell{a.quarter(r, i), int(math.Round(a.blocking(r, i) * 20))}
}

// loadQuarters is how many parts the highest load is cut into.
const loadQuarters = 4

// quarter is the load of service i in row r, in quarters of its highest.
func (a *auditor) quarter(r, i int) int {
	if a.highest[i] == 0 {
		return 0
	}
	return int(math.Round(loadQuarters * (a.load[r*a.m+i] / a.highest[i])))
}

// blocking is the share of service i's requests that row r's action blocks.
func (a *auditor) blocking(r, i int) float64 { return a.meta.Space.BlockOf(a.actionOf(r), i) }

// loadSum compares counts of requests with what was expected of them.
type loadSum struct {
	steps           int
	got, want, load float64 // requests, requests, sum of requests/s
	block           float64
}

// z is the distance from what was expected in standard deviations of a Poisson
// count; where none was expected, of a single request.
func (s loadSum) z() float64 { return (s.got - s.want) / math.Sqrt(max(s.want, 1)) }

func (s loadSum) off() bool {
	return math.Abs(s.z()) > significant && math.Abs(s.got-s.want) > material*s.want
}

// worst is the group whose rate is furthest off, of those that are.
func worst(groups map[loadCell]loadSum) (loadSum, bool) {
	var found loadSum
	distance := 0.0
	for _, s := range groups {
		if d := math.Abs(s.got-s.want) / float64(s.steps); s.off() && d > distance {
			found, distance = s, d
		}
	}
	return found, distance > 0
}

func (a *auditor) offered(r, i int) float64 {
	if g := a.generated[r*a.m+i]; !missing(g) {
		return g
	}
	return a.load[r*a.m+i]
}

// scatter is the mean squared distance of counts from what was expected, in
// units of the Poisson variance; 1 for a Poisson process.
type scatter struct {
	sum  float64
	rows int
}

func (s *scatter) add(got, want float64) {
	if want >= 1 {
		s.sum += (got - want) * (got - want) / want
		s.rows++
	}
}

func (s scatter) mean() float64 { return s.sum / max(1, float64(s.rows)) }

// off allows for half as much again: counts of a step may be a request or two
// off at its edges.
func (s scatter) off() bool {
	return s.rows > 0 && s.mean() > 1.5+float64(significant*math.Sqrt(2/float64(s.rows)))
}

func (a *auditor) carriedLoad() *Finding {
	figures := map[string]float64{}
	var parts []string
	for i := range a.m {
		groups := map[loadCell]loadSum{}
		var total loadSum
		var spread scatter
		for _, r := range a.rows {
			got := float64(a.carried[r*a.m+i] * a.meta.StepSeconds)
			if missing(got) {
				continue
			}
			block := a.blocking(r, i)
			want := float64(a.offered(r, i) * (1 - block) * a.meta.StepSeconds)
			key := a.cellOf(r, i)
			s := groups[key]
			groups[key] = loadSum{s.steps + 1, s.got + got, s.want + want, s.load + a.offered(r, i), s.block + block}
			total.got, total.want = total.got+got, total.want+want
			spread.add(got, want)
		}
		name := a.Mesh().CarriedName(i)
		cell, off := worst(groups)
		if !off && !spread.off() {
			continue
		}
		if !off { // on average right, step by step not
			figures[name+"_scatter"] = spread.mean()
			parts = append(parts, fmt.Sprintf("%s scatters about l(1-b) with %.3g times the variance of Poisson arrivals", name, spread.mean()))
			continue
		}
		steps := float64(cell.steps)
		figures[name+"_load"], figures[name+"_block"], figures[name+"_steps"] = cell.load/steps, cell.block/steps, steps
		figures[name+"_mean"] = cell.got / steps / a.meta.StepSeconds
		figures[name+"_expected"] = cell.want / steps / a.meta.StepSeconds
		over := "is not l(1-b)"
		if total.want > 0 {
			figures[name+"_ratio"] = total.got / total.want
			over = fmt.Sprintf("is %.3g of l(1-b) over all", total.got/total.want)
		}
		parts = append(parts, fmt.Sprintf("%s %s; furthest off at l = %.3g, b = %.2g: mean %.1f requests/s in %d steps where %.1f are expected",
			name, over, cell.load/steps, cell.block/steps, figures[name+"_mean"], cell.steps, figures[name+"_expected"]))
	}
	if parts == nil {
		return nil
	}
	return &Finding{CarriedLoad, "carried load does not follow l(1-b)", strings.Join(parts, "; ") + ".", figures}
}

func (a *auditor) generatedLoad() *Finding {
	figures := map[string]float64{}
	var parts []string
	for i := range a.m {
		groups := map[loadCell]loadSum{}
		var spread scatter
		for _, r := range a.rows {
			got := float64(a.generated[r*a.m+i] * a.meta.StepSeconds)
			if missing(got) {
				continue
			}
			want := float64(a.load[r*a.m+i] * a.meta.StepSeconds)
			key := loadCell{load: a.quarter(r, i)}
			s := groups[key]
			groups[key] = loadSum{steps: s.steps + 1, got: s.got + got, want: s.want + want}
			spread.add(got, want)
		}
		cell, off := worst(groups)
		if !off && !spread.off() {
			continue
		}
		name := a.Mesh().LoadName(i)
		figures[name+"_scatter"] = spread.mean()
		text := fmt.Sprintf("%s as generated scatters with %.3g times the variance of Poisson arrivals", name, spread.mean())
		if off {
			rate := float64(cell.steps) * a.meta.StepSeconds
			figures[name+"_configured"], figures[name+"_generated"] = cell.want/rate, cell.got/rate
			text += fmt.Sprintf(" and is %.4g requests/s on average where %.4g were configured", cell.got/rate, cell.want/rate)
		}
		parts = append(parts, text)
	}
	if parts == nil {
		return nil
	}
	return &Finding{GeneratedLoad, "the generated load is not the configured one", strings.Join(parts, "; ") + ".", figures}
}
