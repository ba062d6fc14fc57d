package load

import (
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
	Ranges Ranges
}

// Name is "random".
func (Random) Name() string { return "random" }

// At draws the load of step t.
func (r Random) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(r.Ranges))
	for i := range dst {
		p := source(seed, streamLoad, t, i)
		values := r.Ranges[i].Discrete()
		dst[i] = values[pick(&p, len(values))]
	}
	return dst
}

// Uniform draws each service's load in each step independently and uniformly
// from a range: it covers what a policy may meet better than a few values do.
type Uniform struct {
	Ranges Ranges
}

// Name is "uniform".
func (Uniform) Name() string { return "uniform" }

// At draws the load of step t.
func (u Uniform) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	dst = sized(dst, len(u.Ranges))
	for i, r := range u.Ranges {
		p := source(seed, streamLoad, t, i)
		dst[i] = round(r.Min+float64((r.Max-r.Min)*unit(&p)), r.Quantum)
	}
	return dst
}
