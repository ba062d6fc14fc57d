package mesh

import (
	"errors"
	"fmt"
	"slices"
)

// Knob is a control as a scenario says it. Without Service, Call and Node it
// stands for a knob of its kind for everything in the mesh that can have one.
type Knob struct {
	Kind    Kind   `json:"kind"`
	Service string `json:"service,omitempty"`
	Call    string `json:"call,omitempty"` // the microservice that Service calls, for a knob of a call
	Node    string `json:"node,omitempty"`

	// Levels is the number of evenly spaced values of a weight or fraction in
	// [0, 1]. Default 6.
	Levels int `json:"levels,omitempty"`
	// Min, Max and By say the values of other knobs: from Min to Max in steps of
	// By, default 1.
	Min float64 `json:"min,omitempty"`
	Max float64 `json:"max,omitempty"`
	By  float64 `json:"by,omitempty"`
	// Points lists what the knob can be set to, in place of all that: a value for
	// each node of a routed call, else one.
	Points [][]float64 `json:"points,omitempty"`

	// Step is how many points the knob may move in one control step: 0 for any,
	// 1 to a neighbouring point only (an increment).
	Step int `json:"step,omitempty"`
	// Up and Down are the s until a higher and a lower value are in force. Default
	// 0, but 30 up for Replicas; negative means at once.
	Up   float64 `json:"up,omitempty"`
	Down float64 `json:"down,omitempty"`
	// Cost of the knob, per unit of its value and s.
	Cost float64 `json:"cost,omitempty"`
}

// KnobAt is a knob of one part of the mesh, as a space has it.
type KnobAt struct {
	Knob
	Info    KindInfo
	Of      int         // number of the call, service or node that it belongs to
	Name    string      // its column, or for several values what they share: b1, p2
	Columns []string    // names of its values: b1; p21 p22
	Points  [][]float64 // what it can be set to
	Free    int         // how many of its values determine the rest: all, but for weights
	First   int         // where its values begin in an Action
	Default int         // the point that leaves the mesh as it is without it
	// Up and Down are the s until a higher and a lower value are in force.
	Up, Down float64
	points   map[string]int
	given    bool // points were listed
}

// Width is the number of values of the knob.
func (k *KnobAt) Width() int { return len(k.Columns) }

// Slow reports whether the knob takes its time or moves by increments, so that
// what is asked for need not be in force at once.
func (k *KnobAt) Slow() bool { return k.Up > 0 || k.Down > 0 || k.Step > 0 }

// Values are the knob's values in action a, shared with it.
func (k *KnobAt) Values(a Action) []float64 { return a[k.First : k.First+len(k.Columns)] }

// Toward is the number of the point that is reached from some values towards
// others in one control step.
func (k *KnobAt) Toward(from, to []float64) int {
	at, want := k.Nearest(from), k.Nearest(to)
	if k.Step > 0 {
		want = min(max(want, at-k.Step), at+k.Step)
	}
	return want
}

// expand lists the knobs that k stands for in mesh l.
func (k Knob) expand(l *Layout) ([]KnobAt, error) {
	info, err := KindOf(k.Kind)
	if err != nil {
		return nil, err
	}
	var list []KnobAt
	add := func(of int, columns []string) error {
		at := KnobAt{Knob: k, Info: info, Of: of, Columns: columns, Free: len(columns)}
		at.Knob.Points = nil
		if at.Up = max(k.Up, 0); k.Up == 0 {
			at.Up = info.Up
		}
		at.Down = max(k.Down, 0)
		if k.Kind == Route {
			at.Free = len(columns) - 1
		}
		if err := at.complete(k.Points); err != nil {
			return fmt.Errorf("%s of %s: %w", k.Kind, nameOf(l, info.Scope, of), err)
		}
		list = append(list, at)
		return nil
	}
	if err := k.checkScope(info.Scope); err != nil {
		return nil, err
	}
	switch info.Scope {
	case PerCall:
		for c, at := range l.Calls {
			if k.Service != "" && l.Mesh.Services[at.Service].Name != k.Service || k.Call != "" && l.Microservices[at.Microservice] != k.Call {
				continue
			}
			var columns []string
			first, end := l.Of(c)
			for e := first; e < end; e++ {
				columns = append(columns, l.EndpointName(info.Prefix, e))
			}
			if err := add(c, columns); err != nil {
				return nil, err
			}
		}
	case PerService:
		for i, s := range l.Mesh.Services {
			if k.Service == "" || s.Name == k.Service {
				if err := add(i, []string{fmt.Sprintf("%s%d", info.Prefix, i+1)}); err != nil {
					return nil, err
				}
			}
		}
	case PerNode:
		for j, n := range l.Mesh.Nodes {
			if k.Node == "" || n.Name == k.Node {
				if err := add(j, []string{fmt.Sprintf("%s%d", info.Prefix, j+1)}); err != nil {
					return nil, err
				}
			}
		}
	}
	if list == nil {
		return nil, fmt.Errorf("%s of service %q, call %q, node %q: the mesh has no such part; it is %s", k.Kind, k.Service, k.Call, k.Node, l.Mesh)
	}
	return list, nil
}

func (k Knob) checkScope(s Scope) error {
	switch {
	case s != PerCall && k.Call != "":
		return fmt.Errorf("%s has call %q; a knob of this kind belongs to a %s", k.Kind, k.Call, s)
	case s == PerNode && k.Service != "":
		return fmt.Errorf("%s has service %q; a knob of this kind belongs to a %s", k.Kind, k.Service, s)
	case s != PerNode && k.Node != "":
		return fmt.Errorf("%s has node %q; a knob of this kind belongs to a %s", k.Kind, k.Node, s)
	case k.Step < 0:
		return fmt.Errorf("%s has step %d; accepted: 0 for any point, or how many points at a time", k.Kind, k.Step)
	}
	const days = 1e6 // s
	for _, v := range []struct {
		name        string
		value, most float64
	}{{"up", max(k.Up, 0), days}, {"down", max(k.Down, 0), days}, {"cost", k.Cost, 1e9}} {
		if !(v.value >= 0 && v.value <= v.most) {
			return fmt.Errorf("%s has %s %v; accepted: 0 to %v", k.Kind, v.name, v.value, v.most)
		}
	}
	return nil
}

func nameOf(l *Layout, s Scope, of int) string {
	switch s {
	case PerCall:
		return l.CallName(of)
	case PerService:
		return l.Mesh.Services[of].Name
	}
	return l.Mesh.Nodes[of].Name
}

// complete fills in the points.
func (k *KnobAt) complete(given [][]float64) (err error) {
	n := len(k.Columns)
	k.Points, k.given = given, given != nil
	switch {
	case given != nil:
	case k.Info.Points != nil:
		k.Points, err = k.Info.Points(k.Knob, n)
	default:
		k.Points, err = span(k.Knob)
	}
	if err != nil {
		return err
	}
	if len(k.Points) > maxPoints || len(k.Points) == 0 {
		return fmt.Errorf("%d points; accepted: 1 to %d", len(k.Points), maxPoints)
	}
	k.points = map[string]int{}
	for u, p := range k.Points {
		if len(p) != n {
			return fmt.Errorf("point %v has %d values; accepted: %d", p, len(p), n)
		}
		if err := k.check(p); err != nil {
			return fmt.Errorf("point %v: %w", p, err)
		}
		// Index tells no others apart, whatever the kind accepts.
		if slices.ContainsFunc(p, func(v float64) bool { return !(v >= 0 && v < maxValue) }) {
			return fmt.Errorf("point %v; accepted: values from 0 to below %g", p, float64(maxValue))
		}
		key := pointKey(p)
		if _, twice := k.points[key]; twice {
			return fmt.Errorf("point %v is there twice", p)
		}
		k.points[key] = u
	}
	k.Name = k.Columns[0]
	if n > 1 || k.Info.Scope == PerCall {
		k.Name = commonPrefix(k.Columns)
	}
	if k.Info.Default != nil {
		k.Default = k.Nearest(k.Info.Default(k.Knob, n))
	}
	return nil
}

func (k *KnobAt) check(values []float64) error {
	if k.Info.Check != nil {
		return k.Info.Check(values)
	}
	for _, v := range values {
		if err := checkFinite([]float64{v}); err != nil {
			return err
		}
	}
	return nil
}

// commonPrefix is what names begin with, without a separator at its end.
func commonPrefix(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	p := names[0]
	for _, n := range names[1:] {
		for len(p) > 0 && (len(n) < len(p) || n[:len(p)] != p) {
			p = p[:len(p)-1]
		}
	}
	for len(p) > 1 && (p[len(p)-1] == '.' || p[len(p)-1] == '_') {
		p = p[:len(p)-1]
	}
	return p
}

// maxValue bounds the values of points: pointKey has so many bits.
const maxValue = 1e8

// pointKey makes points within the tolerance equal.
func pointKey(p []float64) string {
	b := make([]byte, 0, 8*len(p))
	for _, v := range p {
		u := uint64(v/weightTolerance + .5)
		b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24), byte(u>>32), byte(u>>40))
	}
	return string(b)
}

// Index is the number of the point with the given values, to within rounding;
// -1 where there is none.
func (k *KnobAt) Index(values []float64) int {
	if len(values) != len(k.Columns) {
		return -1
	}
	for _, v := range values {
		if !(v >= 0 && v < maxValue) {
			return -1
		}
	}
	if u, ok := k.points[pointKey(values)]; ok {
		return u
	}
	// A value at the edge of a key's cell.
	for u, p := range k.Points {
		if Distance(p, values) < weightTolerance*weightTolerance*float64(len(p)) {
			return u
		}
	}
	return -1
}

// Nearest is the number of the point that is closest to the given values, the
// first of equal ones but for rounding: weights go to where the largest
// remainders are.
func (k *KnobAt) Nearest(values []float64) int {
	best, least := 0, 0.0
	for u, p := range k.Points {
		d := Distance(p, values)
		if u == 0 || d < least-1e-12 || d < least+1e-12 && slices.Compare(p, k.Points[best]) > 0 {
			best, least = u, d
		}
	}
	return best
}

// Distance is the squared Euclidean distance of two settings of a knob, or of two
// actions.
func Distance(a, b []float64) float64 {
	d := 0.0
	for j := range a {
		d += float64((a[j] - b[j]) * (a[j] - b[j]))
	}
	return d
}

var errNoKnob = errors.New("mesh: a space without a knob")
