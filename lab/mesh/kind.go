package mesh

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// Kind is a kind of knob. The ones below are there; others are added by
// RegisterKind.
type Kind string

const (
	Route    Kind = "route"    // of a call: the share of its requests that each node gets
	Block    Kind = "block"    // of a service: the share of its requests that the front turns away
	Replicas Kind = "replicas" // of a node: how many servers it has
	CPU      Kind = "cpu"      // of a node: its cores, as a factor of its speed
)

// Scope is what a knob belongs to.
type Scope int

const (
	PerCall Scope = iota
	PerService
	PerNode
)

func (s Scope) String() string { return [...]string{"call", "service", "node"}[s] }

// KindInfo says what knobs of a kind are.
type KindInfo struct {
	Kind  Kind
	Scope Scope
	// Prefix of the columns and names of such knobs, for instance "b" for b1.
	Prefix string
	// Unit of the values, for people; "" for none.
	Unit string
	// Points are what a knob can be set to where it does not list its points
	// itself; n is the number of the call's nodes for PerCall, else 1. Every
	// point has the same number of values, one for each node of a call. nil
	// means the evenly spaced values that Levels, or Min, Max and By, say.
	Points func(k Knob, n int) ([][]float64, error)
	// Up is the s until a higher value is in force where a knob does not say it.
	Up float64
	// Default is the point that leaves the mesh as it is without the knob; it may
	// be any value, of which the nearest point is taken. nil means the first.
	Default func(k Knob, n int) []float64
	// Check reports a value that is not one of the kind; nil accepts any finite
	// number that is not negative.
	Check func(values []float64) error
}

var (
	kindsMu sync.RWMutex
	kinds   = map[Kind]KindInfo{}
)

// RegisterKind adds a kind of knob. It panics for a kind that is there, one
// without a name, and one without a prefix or with that of another.
func RegisterKind(k KindInfo) {
	kindsMu.Lock()
	defer kindsMu.Unlock()
	if k.Kind == "" || k.Prefix == "" {
		panic("mesh: RegisterKind of a kind without a name or a prefix")
	}
	for _, have := range kinds {
		if have.Kind == k.Kind || have.Prefix == k.Prefix {
			panic(fmt.Sprintf("mesh: RegisterKind of %q with prefix %q: there is %q with %q", k.Kind, k.Prefix, have.Kind, have.Prefix))
		}
	}
	kinds[k.Kind] = k
}

// KindOf returns what knobs of a kind are. The error lists those that are known.
func KindOf(k Kind) (KindInfo, error) {
	kindsMu.RLock()
	defer kindsMu.RUnlock()
	info, ok := kinds[k]
	if !ok {
		var names []string
		for name := range kinds {
			names = append(names, string(name))
		}
		slices.Sort(names)
		return info, fmt.Errorf("unknown kind of knob %q; accepted: %s", k, strings.Join(names, ", "))
	}
	return info, nil
}

func init() {
	RegisterKind(KindInfo{Kind: Route, Scope: PerCall, Prefix: "p", Points: weights, Check: checkWeights,
		Default: func(_ Knob, n int) []float64 { return even(n) }})
	RegisterKind(KindInfo{Kind: Block, Scope: PerService, Prefix: "b", Points: func(k Knob, _ int) ([][]float64, error) { return fractions(k) },
		Check: checkFraction})
	RegisterKind(KindInfo{Kind: Replicas, Scope: PerNode, Prefix: "r", Unit: "replicas", Default: one, Check: checkWhole, Up: 30})
	RegisterKind(KindInfo{Kind: CPU, Scope: PerNode, Prefix: "cpu", Unit: "cores", Default: one})
}

func one(Knob, int) []float64 { return []float64{1} }

func even(n int) []float64 {
	p := make([]float64, n)
	for j := range p {
		p[j] = 1 / float64(n)
	}
	return p
}

// defaultLevels is the number of values of a fraction.
const defaultLevels = 6

func levels(k Knob) (int, error) {
	switch {
	case k.Levels == 0:
		return defaultLevels, nil
	case k.Levels < 2 || k.Levels > 1001:
		return 0, fmt.Errorf("%d levels; accepted: 2 to 1001", k.Levels)
	}
	return k.Levels, nil
}

// fractions are evenly spaced values in [0, 1].
func fractions(k Knob) ([][]float64, error) {
	n, err := levels(k)
	if err != nil {
		return nil, err
	}
	points := make([][]float64, n)
	for u := range points {
		points[u] = []float64{float64(u) / float64(n-1)}
	}
	return points, nil
}

// maxPoints bounds the points of one knob.
const maxPoints = 100_000

// weights are the points of the weight simplex: every way to share the units of
// the grid among n nodes, first weights ascending.
func weights(k Knob, n int) ([][]float64, error) {
	levels, err := levels(k)
	if err != nil {
		return nil, err
	}
	if count := choose(levels-1+n-1, n-1); count > maxPoints {
		return nil, fmt.Errorf("%d levels for %d nodes make %.3g points; accepted: at most %d, so fewer levels, or a list of points", levels, n, count, maxPoints)
	}
	var points [][]float64
	var compose func(units []int, left int)
	compose = func(units []int, left int) {
		if len(units) == n-1 {
			point := make([]float64, n)
			for j, u := range append(units, left) {
				point[j] = float64(u) / float64(levels-1)
			}
			points = append(points, point)
			return
		}
		for u := 0; u <= left; u++ {
			compose(append(units, u), left-u)
		}
	}
	compose(make([]int, 0, n), levels-1)
	return points, nil
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c *= float64(n-i) / float64(i+1)
	}
	return math.Round(c)
}

// span are the values from Min to Max, By apart.
func span(k Knob) ([][]float64, error) {
	lo, hi, by := k.Min, k.Max, k.By
	if by == 0 {
		by = 1
	}
	if !(lo >= 0 && hi > lo && by > 0) || math.IsInf(hi, 1) || (hi-lo)/by > maxPoints {
		return nil, fmt.Errorf("min %v, max %v, by %v; accepted: 0 <= min < max, and by above 0, which makes at most %d points", k.Min, k.Max, k.By, maxPoints)
	}
	var points [][]float64
	for u := 0; ; u++ {
		v := lo + float64(float64(u)*by)
		if v > hi+float64(1e-9*by) {
			return points, nil
		}
		points = append(points, []float64{v})
	}
}

// weightTolerance allows for decimal fractions that do not sum exactly.
const weightTolerance = 1e-6

func checkWeights(values []float64) error {
	sum := 0.0
	for _, p := range values {
		if err := checkFraction([]float64{p}); err != nil {
			return err
		}
		sum += p
	}
	if math.Abs(sum-1) > weightTolerance {
		return fmt.Errorf("the weights %v sum to %v, not 1", values, sum)
	}
	return nil
}

func checkFraction(values []float64) error {
	if v := values[0]; !(v >= 0 && v <= 1) {
		return fmt.Errorf("%v is outside [0, 1]", v)
	}
	return nil
}

func checkWhole(values []float64) error {
	if v := values[0]; !(v >= 0 && v <= 1e6) || v != math.Trunc(v) {
		return fmt.Errorf("%v is not a whole number from 0 to 1000000", v)
	}
	return nil
}

func checkFinite(values []float64) error {
	if v := values[0]; !(v >= 0) || math.IsInf(v, 1) {
		return fmt.Errorf("%v is not a finite number >= 0", v)
	}
	return nil
}
