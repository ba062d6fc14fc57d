package load

import "github.com/meshbench/meshbench/lab/mesh"

// Mixed takes the load of each step from one of several patterns, drawn with
// equal probability: training loads that cover both what was measured and what
// may come.
type Mixed []Pattern

var _ Pattern = Mixed(nil)

// Name is "mixed".
func (Mixed) Name() string { return "mixed" }

// At returns the load of step t of the pattern drawn for it. It panics when
// there is none.
func (p Mixed) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	src := source(seed, streamMixed, t, 0)
	return p[pick(&src, len(p))].At(dst, seed, t)
}
