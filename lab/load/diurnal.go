package load

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

var _ Pattern = Diurnal{}

// Diurnal is a day of use as a smooth curve, over again: from the low of the
// night up to a smaller peak before noon, a dip, the main peak in the evening,
// and back. Noise that lasts for some steps multiplies it, so that no day is as
// another. Loads stay within the ranges.
type Diurnal struct {
	Ranges Ranges
	Period int       // steps of a day; default 720
	Second float64   // height of the smaller peak, as a share of the main one; default 0.7
	Shift  []float64 // by how much of a day each service's day is later, length m; default 0
	// Noise is its relative standard deviation. Default 0.05, negative: none.
	Noise       float64
	Correlation int // steps over which noise lasts; default 10
	// Jitter, from 0 to 1, is how much seeds differ: a run begins up to that share
	// of a day after the low of the night, and each day is less high by up to half
	// of that share. Default 0: all runs begin at the low, and only noise differs.
	Jitter float64
}

// Name is "diurnal".
func (Diurnal) Name() string { return "diurnal" }

// When the extremes of a day are, as a share of it from the low of the night.
const (
	firstPeak = .3
	dip       = .45
	mainPeak  = .7
)

// dipDepth is the height of the dip, as a share of the smaller peak.
const dipDepth = .75

// At is the load of step t.
func (d Diurnal) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(d.Ranges))
	if d.Shift != nil && len(d.Shift) != len(dst) {
		panic(fmt.Sprintf("load: %d shifts for %d services", len(d.Shift), len(dst)))
	}
	second := or(d.Second, .7)
	if !(second >= 0 && second <= 1) {
		panic(fmt.Sprintf("load: smaller peak %v of the main one; accepted: above 0, up to 1", second))
	}
	period, every := or(d.Period, 720), or(d.Correlation, 10)
	sigma := max(0, or(d.Noise, .05))
	now := t + int(float64(period)*jitter(d.Jitter, seed, streamStart, 0, 0))
	for i, r := range d.Ranges {
		day, at := now/period, float64(now%period)/float64(period)
		if d.Shift != nil {
			at -= d.Shift[i]
			whole := math.Floor(at)
			day, at = day+int(whole), at-whole
		}
		height := daily(at, second) * (1 - jitter(d.Jitter, seed, streamHeight, day, i)/2)
		x := r.Min + float64((r.Max-r.Min)*height)
		if sigma > 0 {
			// Log-normal: never negative, and of mean 1.
			x *= math.Exp(sigma*noise(seed, t, every, i) - sigma*sigma/2)
		}
		dst[i] = min(r.Max, max(r.Min, round(x, r.Quantum)))
	}
	return dst
}

// daily is the height in [0, 1] at a share of the day: half cosines between its
// extremes, so that it is smooth and exactly as high and low as they are.
func daily(at, second float64) float64 {
	between := func(from, to, low, high float64) float64 {
		return low + (high-low)*(1-math.Cos(math.Pi*(at-from)/(to-from)))/2
	}
	switch {
	case at < firstPeak:
		return between(0, firstPeak, 0, second)
	case at < dip:
		return between(firstPeak, dip, second, dipDepth*second)
	case at < mainPeak:
		return between(dip, mainPeak, dipDepth*second, 1)
	}
	return between(mainPeak, 1, 1, 0)
}
