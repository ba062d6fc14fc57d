package load

import (
	"encoding/json"
	"fmt"

	"github.com/meshbench/meshbench/lab/mesh"
)

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

// Switching takes its load from one of several patterns, drawn with equal
// probability for some steps at a time. Where Mixed covers the loads of its
// patterns, Switching also keeps how they change from step to step, which
// matters to a policy that looks back or ahead.
type Switching struct {
	Patterns []Pattern
	Every    int // steps of one pattern; default 100
}

var _ Pattern = Switching{}

// Name is "switching".
func (Switching) Name() string { return "switching" }

// At returns the load of step t of the pattern that is drawn for it and the
// steps around it. It panics when there is none.
func (s Switching) At(dst mesh.Load, seed uint64, t int) mesh.Load {
	p := source(seed, streamSwitching, t/or(s.Every, 100), 0)
	return s.Patterns[pick(&p, len(s.Patterns))].At(dst, seed, t)
}

// MarshalJSON writes the patterns with their types, so that the text of two that
// differ does too.
func (s Switching) MarshalJSON() ([]byte, error) {
	type typed struct {
		Type    string
		Pattern Pattern
	}
	parts := make([]typed, len(s.Patterns))
	for k, p := range s.Patterns {
		parts[k] = typed{fmt.Sprintf("%T", p), p}
	}
	return json.Marshal(struct {
		Patterns []typed
		Every    int
	}{parts, or(s.Every, 100)})
}
