package load

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Arrivals appends to dst the times, in seconds from the start of the step and
// ascending, at which the requests of one service arrive in one step: a
// Poisson process of the given rate (requests/s) on [0, seconds). It is a pure
// function of its arguments.
//
// A Poisson process has no memory, so each step begins with a fresh
// exponential time whatever the rate was before, and steps of changing rate
// join to an exact Poisson process of that changing rate. The gaps are drawn
// in units of 1/rate: dividing seconds and multiplying rate by the same factor
// scales the same schedule.
//
// It panics for a rate or length that is negative or not finite.
func Arrivals(dst []float64, rate, seconds float64, seed uint64, step, service int) []float64 {
	if !(rate >= 0) || math.IsInf(rate, 1) || !(seconds >= 0) || math.IsInf(seconds, 1) {
		panic(fmt.Sprintf("load: arrivals at %v requests/s for %v s", rate, seconds))
	}
	if rate == 0 {
		return dst
	}
	p := source(seed, streamArrivals, step, service)
	r := rand.New(&p)
	end := rate * seconds
	for u := r.ExpFloat64(); u < end; u += r.ExpFloat64() {
		// Rounding of the division may reach the end; the step does not.
		if at := u / rate; at < seconds {
			dst = append(dst, at)
		}
	}
	return dst
}
