// Package load makes offered load: patterns that give each service's rate for
// every control step, and the Poisson arrivals of requests within a step. All
// of it is a pure function of a seed, so that a run can be repeated and resumed.
package load

import "github.com/meshbench/meshbench/lab/mesh"

// Pattern is an offered load over time. It keeps no state: the load of step t
// depends on (seed, t) alone, so runs can be resumed and compared step by step.
type Pattern interface {
	// Name identifies the pattern in files and figures, for instance "random".
	Name() string
	// At writes the load of step t to dst, which is allocated when nil, in
	// requests/s per service.
	At(dst mesh.Load, seed uint64, t int) mesh.Load
}
