package load

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

var (
	_ Pattern = Sinusoidal{}
	_ Pattern = Constant{}
	_ Pattern = Step{}
	_ Pattern = FlashCrowd{}
)

// Patterns of a fixed shape; the seed does not change them.

// Sinusoidal is a sine around the middle of each service's range, as high and as
// low as the range: the load that the paper keeps unseen in training (Section
// V). Where it would be negative it is 0.
type Sinusoidal struct {
	Ranges  Ranges
	Period  int       // steps; default 600
	Phase   []float64 // phi_i in radians, length m; default 2 pi i/3 for i = 0..m-1
	Quantum float64   // requests/s; rounded to multiples of it; default 0.1, negative: not rounded
}

// Name is "sinusoidal".
func (Sinusoidal) Name() string { return "sinusoidal" }

// At is the load of step t.
func (s Sinusoidal) At(dst mesh.Load, _ uint64, t int) mesh.Load {
	dst = sized(dst, len(s.Ranges))
	if s.Phase != nil && len(s.Phase) != len(dst) {
		panic(fmt.Sprintf("load: %d phases for %d services", len(s.Phase), len(dst)))
	}
	// The remainder keeps the argument small, so that equal phases of all
	// periods give equal loads.
	period := or(s.Period, 600)
	angle := 2 * math.Pi * float64(t%period) / float64(period)
	for i, r := range s.Ranges {
		phase := 2 * math.Pi * float64(i) / 3
		if s.Phase != nil {
			phase = s.Phase[i]
		}
		x := r.Mid() + (r.Max-r.Min)/2*math.Sin(angle+phase)
		dst[i] = max(0, round(x, or(s.Quantum, .1)))
	}
	return dst
}

// Constant is the same load in every step.
type Constant struct {
	Load mesh.Load // requests/s, length m
}

// Name is "constant".
func (Constant) Name() string { return "constant" }

// At is the load.
func (c Constant) At(dst mesh.Load, _ uint64, _ int) mesh.Load {
	dst = sized(dst, len(c.Load))
	copy(dst, c.Load)
	return dst
}

// Step holds each of its levels for some steps, in turn and over again.
type Step struct {
	Ranges Ranges
	Levels []mesh.Load // requests/s, each of length m; default the low end of all ranges, then the high one
	Every  int         // steps of one level; default 50
}

// Name is "step".
func (Step) Name() string { return "step" }

// At is the load of step t.
func (s Step) At(dst mesh.Load, _ uint64, t int) mesh.Load {
	k := t / or(s.Every, 50)
	if len(s.Levels) > 0 {
		return Constant{Load: s.Levels[k%len(s.Levels)]}.At(dst, 0, t)
	}
	dst = sized(dst, len(s.Ranges))
	copy(dst, s.Ranges.at(float64(k%2)))
	return dst
}

// FlashCrowd is the low end of all ranges, from which one service's load rises
// in a straight line to the high end of its range, holds it and falls back.
type FlashCrowd struct {
	Ranges  Ranges
	Service int // index of the service that the crowd comes to; default 0, the first
	Start   int // step in which the rise begins; default 50, negative: 0
	Rise    int // steps from base to peak; default 5, negative: at once
	Hold    int // steps at the peak; default 40
	Fall    int // steps from peak to base; default 20, negative: at once
}

// Name is "flashcrowd".
func (FlashCrowd) Name() string { return "flashcrowd" }

// At is the load of step t.
func (f FlashCrowd) At(dst mesh.Load, _ uint64, t int) mesh.Load {
	dst = sized(dst, len(f.Ranges))
	if f.Service < 0 || f.Service >= len(dst) {
		panic(fmt.Sprintf("load: flash crowd on service %d of %d", f.Service, len(dst)))
	}
	copy(dst, f.Ranges.at(0))
	rise, hold, fall := max(0, or(f.Rise, 5)), or(f.Hold, 40), max(0, or(f.Fall, 20))
	since := t - max(0, or(f.Start, 50))
	height := 0.0
	switch {
	case since < 0:
	case since < rise:
		height = float64(since) / float64(rise)
	case since < rise+hold:
		height = 1
	case since < rise+hold+fall:
		height = 1 - float64(since-rise-hold)/float64(fall)
	}
	r := f.Ranges[f.Service]
	dst[f.Service] = r.Min + (r.Max-r.Min)*height
	return dst
}
