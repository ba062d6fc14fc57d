package load

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Range is the offered load of one service.
type Range struct {
	Min float64 `json:"min"` // requests/s
	Max float64 `json:"max"`
	// Values are those of random load. Default four, evenly spaced from Min to
	// Max.
	Values []float64 `json:"values,omitempty"`
	// Quantum is what loads from the whole range are rounded to multiples of.
	// Default 0, not rounded.
	Quantum float64 `json:"quantum,omitempty"`
}

// maxRate is more than any testbed offers, requests/s.
const maxRate = 1_000_000

// Validate reports what is not accepted.
func (r Range) Validate() error {
	if !(r.Min >= 0 && r.Max > r.Min && r.Max <= maxRate) {
		return fmt.Errorf("load from %v to %v requests/s; accepted: 0 <= min < max, max up to %v", r.Min, r.Max, maxRate)
	}
	if !(r.Quantum >= 0) || r.Quantum > r.Max-r.Min {
		return fmt.Errorf("quantum %v requests/s; accepted: 0 for none, up to max - min", r.Quantum)
	}
	for _, v := range r.Values {
		if !(v >= 0) || math.IsInf(v, 1) {
			return fmt.Errorf("load value %v requests/s; accepted: a finite number >= 0", v)
		}
	}
	return nil
}

// Discrete are the values of random load.
func (r Range) Discrete() []float64 {
	if len(r.Values) > 0 {
		return r.Values
	}
	const n = 4
	values := make([]float64, n)
	for k := range values {
		values[k] = r.Min + (r.Max-r.Min)*float64(k)/(n-1)
	}
	return values
}

// Mid is the middle of the range.
func (r Range) Mid() float64 { return (r.Min + r.Max) / 2 }

// share is the load at a share of the range, on the quantum.
func (r Range) share(x float64) float64 {
	return min(r.Max, max(r.Min, round(r.Min+float64((r.Max-r.Min)*x), r.Quantum)))
}

// Ranges are the offered loads of a mesh's services.
type Ranges []Range

// Mid is the middle of every range.
func (r Ranges) Mid() mesh.Load { return r.at(.5) }

// at is the load at a share of every range.
func (r Ranges) at(share float64) mesh.Load {
	l := make(mesh.Load, len(r))
	for i, x := range r {
		l[i] = x.Min + float64(share*(x.Max-x.Min))
	}
	return l
}

// Grid lists the loads of random load, each equally likely, so that means over
// them are exact expectations: all combinations where those are at most limit,
// else limit different ones, drawn with a fixed seed. For the paper's mesh 16.
func (r Ranges) Grid(limit int) []mesh.Load {
	count := 1
	for _, x := range r {
		if count *= len(x.Discrete()); count > limit {
			random := Random{Ranges: r}
			var loads []mesh.Load
			seen := map[string]bool{}
			for k := 0; len(loads) < limit; k++ {
				l := random.At(nil, 0x67726964, k)
				if key := fmt.Sprint(l); !seen[key] {
					seen[key] = true
					loads = append(loads, l)
				}
			}
			return loads
		}
	}
	loads := []mesh.Load{{}}
	for _, x := range r {
		var longer []mesh.Load
		for _, l := range loads {
			for _, v := range x.Discrete() {
				longer = append(longer, append(append(mesh.Load{}, l...), v))
			}
		}
		loads = longer
	}
	return loads
}
