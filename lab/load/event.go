package load

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Step holds each of its levels for some steps, in turn and over again.
type Step struct {
	Ranges Ranges
	Levels []mesh.Load // requests/s, each of length m; default the low end of all ranges, then the high one
	Every  int         // steps of one level; default 50
	// Jitter, from 0 to 1, is how much seeds differ: each change comes up to that
	// share of Every/2 earlier or later, and each time a level is held it is nearer
	// to the mean of all levels by up to that share. Default 0.
	Jitter float64
}

// Name is "step".
func (Step) Name() string { return "step" }

// At is the load of step t.
func (s Step) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	every := or(s.Every, 50)
	k := t / every
	switch { // the change before or the one after may have moved across t
	case k > 0 && t < s.change(seed, k, every):
		k--
	case t >= s.change(seed, k+1, every):
		k++
	}
	m := len(s.Ranges)
	if len(s.Levels) > 0 {
		m = len(s.Levels[0])
	}
	dst = sized(dst, m)
	for i := range dst {
		level, mean := s.level(k, i)
		dst[i] = level + float64((mean-level)*jitter(s.Jitter, seed, streamHeight, k, i))
	}
	return dst
}

// change is the step in which hold k begins.
func (s Step) change(seed uint64, k, every int) int {
	moved := jitter(s.Jitter, seed, streamStart, k, 0) - s.Jitter/2
	return int(float64(every) * (float64(k) + moved))
}

// level of service i in hold k, and the mean of all of its levels.
func (s Step) level(k, i int) (level, mean float64) {
	if len(s.Levels) == 0 {
		r := s.Ranges[i]
		return r.Min + float64((r.Max-r.Min)*float64(k%2)), r.Mid()
	}
	for _, l := range s.Levels {
		mean += l[i] / float64(len(s.Levels))
	}
	return s.Levels[k%len(s.Levels)][i], mean
}

// trapezoid is the height in [0, 1], so many steps after the beginning, of what
// rises in a straight line, holds and falls.
func trapezoid(since, rise, hold, fall int) float64 {
	switch {
	case since < 0:
	case since < rise:
		return float64(since) / float64(rise)
	case since < rise+hold:
		return 1
	case since < rise+hold+fall:
		return 1 - float64(since-rise-hold)/float64(fall)
	}
	return 0
}

// Ramp takes all services from the low end of their ranges to the high end in a
// straight line, holds, takes them down again and holds, over and over: load that
// a policy can see coming.
type Ramp struct {
	Ranges Ranges
	Up     int // steps from low to high; default 60, negative: at once
	High   int // steps at the high end; default 40, negative: none
	Down   int // steps from high to low; default 60, negative: at once
	Low    int // steps at the low end; default 40, negative: none
	// Jitter, from 0 to 1, is how much seeds differ: each ramp begins later by up
	// to that share of Low and goes less high by up to half of that share. Default
	// 0.
	Jitter float64
}

// Name is "ramp".
func (Ramp) Name() string { return "ramp" }

// At is the load of step t.
func (r Ramp) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(r.Ranges))
	up, high, down, low := max(0, or(r.Up, 60)), max(0, or(r.High, 40)), max(0, or(r.Down, 60)), max(0, or(r.Low, 40))
	cycle := up + high + down + low
	if cycle == 0 {
		panic("load: ramp without a step; accepted: Up, High, Down or Low above 0")
	}
	k := t / cycle
	late := int(float64(low+1) * jitter(r.Jitter, seed, streamStart, k, 0))
	height := trapezoid(t%cycle-late, up, high, down) * (1 - jitter(r.Jitter, seed, streamHeight, k, 0)/2)
	for i, x := range r.Ranges {
		dst[i] = x.share(height)
	}
	return dst
}

// FlashCrowd is the low end of all ranges, from which one service's load rises
// in a straight line to the high end of its range, holds it and falls back.
type FlashCrowd struct {
	Ranges  Ranges
	Service int // index of the service that the crowd comes to; default 0, the first; -1: drawn for each crowd
	Start   int // step in which the rise begins; default 50, negative: 0
	Rise    int // steps from base to peak; default 5, negative: at once
	Hold    int // steps at the peak; default 40
	Fall    int // steps from peak to base; default 20, negative: at once
	Every   int // steps after which another crowd comes; default 0, never
	// Jitter, from 0 to 1, is how much seeds differ: each crowd comes earlier or
	// later by up to that share of Start, or of Every where crowds come again, holds
	// longer or shorter by up to that share of Hold, and peaks lower by up to half
	// of that share. Default 0.
	Jitter float64
}

// Name is "flashcrowd".
func (FlashCrowd) Name() string { return "flashcrowd" }

// At is the load of step t.
func (f FlashCrowd) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(f.Ranges))
	if f.Service < -1 || f.Service >= len(dst) {
		panic(fmt.Sprintf("load: flash crowd on service %d of %d", f.Service, len(dst)))
	}
	for i, r := range f.Ranges {
		dst[i] = r.Min
	}
	rise, hold, fall, start := max(0, or(f.Rise, 5)), or(f.Hold, 40), max(0, or(f.Fall, 20)), max(0, or(f.Start, 50))
	around, last := start, 0 // what a crowd moves by at most, the last crowd that can have begun
	if f.Every > 0 {
		around, last = f.Every, (t+f.Every)/f.Every
	}
	longest := rise + hold + int(f.Jitter*float64(hold)) + fall
	for k := last; k >= 0; k-- {
		planned := start + k*f.Every
		if t-planned >= around+longest {
			break // nor has any crowd before it an end after t
		}
		begin := planned + int(float64(around)*(2*jitter(f.Jitter, seed, streamStart, k, 0)-f.Jitter))
		held := int(float64(hold) * (1 + 2*jitter(f.Jitter, seed, streamHold, k, 0) - f.Jitter))
		height := trapezoid(t-begin, rise, held, fall) * (1 - jitter(f.Jitter, seed, streamHeight, k, 0)/2)
		i := f.Service
		if i < 0 {
			i = int(float64(len(dst)) * jitter(1, seed, streamCrowd, k, 0))
		}
		dst[i] = max(dst[i], f.Ranges[i].share(height))
	}
	return dst
}
