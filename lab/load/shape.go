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
	_ Pattern = Ramp{}
	_ Pattern = FlashCrowd{}
)

// Patterns of a fixed shape. The seed does not change them unless their Jitter
// is above 0; then it moves when things happen and how high they go, so that runs
// with other seeds are other cases of the same kind.

// checkJitter panics for a jitter that is none.
func checkJitter(j float64) {
	if !(j >= 0 && j <= 1) {
		panic(fmt.Sprintf("load: jitter %v; accepted: 0 for none, up to 1", j))
	}
}

// jitter is by how much event k of a service is moved, uniform in [0, j). What
// is moved has a stream of its own.
func jitter(j float64, seed, stream uint64, k, service int) float64 {
	if checkJitter(j); j == 0 {
		return 0
	}
	return j * draw(seed, stream, k, service)
}

// Sinusoidal is a sine around the middle of each service's range, as high and as
// low as the range: the load that the paper keeps unseen in training (Section
// V). Where it would be negative it is 0.
type Sinusoidal struct {
	Ranges  Ranges
	Period  int       // steps; default 600
	Phase   []float64 // phi_i in radians, length m; default 2 pi i/3 for i = 0..m-1
	Quantum float64   // requests/s; rounded to multiples of it; default 0.1, negative: not rounded
	// Jitter, from 0 to 1, is how much seeds differ: each service's phase moves by
	// up to that share of a half period to either side, and its amplitude is less
	// by up to half of that share. Default 0.
	Jitter float64
}

// Name is "sinusoidal".
func (Sinusoidal) Name() string { return "sinusoidal" }

// At is the load of step t.
func (s Sinusoidal) At(dst mesh.Load, seed uint64, t int) mesh.Load {
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
		phase += float64(math.Pi * (float64(2*jitter(s.Jitter, seed, streamStart, 0, i)) - s.Jitter))
		height := 1 - jitter(s.Jitter, seed, streamHeight, 0, i)/2
		x := r.Mid() + float64((r.Max-r.Min)/2*height*math.Sin(angle+phase))
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
