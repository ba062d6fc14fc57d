package load

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

var (
	_ Pattern = Random{}
	_ Pattern = Uniform{}
)

// Random draws each service's load in each step independently and with equal
// chance from a few values: the load that the paper trains and tests on
// (Section V).
type Random struct {
	Mesh   mesh.Mesh // default the paper's
	Values []float64 // requests/s; default 5, 10, 15, 20
}

var randomValues = []float64{5, 10, 15, 20}

// Name is "random".
func (Random) Name() string { return "random" }

// At draws the load of step t.
func (r Random) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, r.Mesh)
	values := r.Values
	if len(values) == 0 {
		values = randomValues
	}
	for i := range dst {
		p := source(seed, streamLoad, t, i)
		dst[i] = values[pick(&p, len(values))]
	}
	return dst
}

// Uniform draws each service's load in each step independently and uniformly
// from a range: it covers what a policy may meet better than a few values do.
type Uniform struct {
	Mesh     mesh.Mesh // default the paper's
	Min, Max float64   // requests/s; default 5 and 20 where both are 0
	Quantum  float64   // requests/s; loads are rounded to multiples of it; default 0, not rounded
}

// Name is "uniform".
func (Uniform) Name() string { return "uniform" }

// At draws the load of step t. It panics for a range that is empty or negative.
func (u Uniform) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, u.Mesh)
	low, high := u.Min, u.Max
	if low == 0 && high == 0 {
		low, high = 5, 20
	}
	if !(low >= 0 && high >= low) {
		panic(fmt.Sprintf("load: uniform on [%v, %v]", low, high))
	}
	for i := range dst {
		p := source(seed, streamLoad, t, i)
		dst[i] = round(low+(high-low)*unit(&p), u.Quantum)
	}
	return dst
}
