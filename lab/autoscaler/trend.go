package autoscaler

import (
	"math"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Trend writes by how much each service's load changes in a step, in requests/s,
// to dst, which is allocated when nil: the slope of the straight line with the
// least squares through the load now and those of the steps before, the last one
// first. Without any it is 0.
func Trend(dst, now mesh.Load, past []mesh.Load) mesh.Load {
	if dst == nil {
		dst = make(mesh.Load, len(now))
	}
	n := float64(len(past)) + 1
	middle := (n - 1) / 2
	squares := n * (n*n - 1) / 12 // of the distances of n steps from their middle
	for i := range dst {
		dst[i] = middle * now[i]
		for k, l := range past {
			dst[i] += (middle - float64(k+1)) * l[i]
		}
		if dst[i] /= squares; squares == 0 {
			dst[i] = 0
		}
	}
	return dst
}

// Servers is how many keep the utilisation at or below bound while so many are at
// work in the mean; at least 1.
func Servers(work, bound float64) int {
	return max(1, int(min(math.Ceil(work/bound-rounding), maxReplicas)))
}
