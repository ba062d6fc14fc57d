// Package median has the median, which several packages need and none owns.
package median

import (
	"math"
	"slices"
)

// Of returns the median of v, the mean of the middle two where their number is
// even, and NaN without any. v stays as it is.
func Of(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
