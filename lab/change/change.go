// Package change says what happens to a mesh that does not stay as it was: a
// node slows down, a microservice needs more work, a node is lost and comes back,
// replicas take longer to start. A Change is data, a line of a scenario or of a
// command; a Condition is what all changes together make of the mesh at a time,
// and what a testbed is told. Nothing that controls the mesh is told of either.
package change

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Kind is what happens.
type Kind string

const (
	// Slow is a node that works slower by a factor.
	Slow Kind = "slow"
	// Heavy is a microservice whose requests need more work by a factor.
	Heavy Kind = "heavy"
	// Lost is a node that is not there any more: what is sent to it fails.
	Lost Kind = "lost"
	// StartUp is a node whose replicas take longer to start by a factor.
	StartUp Kind = "startup"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Slow, Heavy, Lost, StartUp} }

// Change is something that happens to a part of a mesh.
type Change struct {
	Kind Kind
	// Of is the number of the node that it happens to, of Heavy that of the layout's
	// microservice; All for each.
	Of int
	// Factor is by how much, above 0: of times, so that 2 is half as fast. Default 2.
	Factor float64
	// At is the control step before which it happens.
	At int
	// Within is how many steps later it may come, drawn from the seed of the run.
	// Default 0.
	Within int
	// For is after how many steps it is over. Default 0, never.
	For int
}

// All stands for every node, or every microservice.
const All = -1

const (
	maxStep   = 1_000_000
	maxFactor = 1000
)

// Validate reports what is not accepted of a change of the mesh of layout l.
func (c Change) Validate(l *mesh.Layout) error {
	n := c.parts(l)
	switch {
	case !slices.Contains(Kinds(), c.Kind):
		return fmt.Errorf("unknown change %q; accepted: %v", c.Kind, Kinds())
	case c.Of < All || c.Of >= n:
		return fmt.Errorf("change %s of %s %d; there are %d", c.Kind, c.part(), c.Of+1, n)
	case c.Factor != 0 && !(c.Factor >= 1./maxFactor && c.Factor <= maxFactor):
		return fmt.Errorf("change %s by factor %v; accepted: %v to %v", c.Kind, c.Factor, 1./maxFactor, maxFactor)
	case c.Kind == Lost && c.Factor != 0:
		return fmt.Errorf("change %s by factor %v; a node is lost or not", c.Kind, c.Factor)
	case c.At < 0 || c.Within < 0 || c.For < 0 || c.At > maxStep || c.Within > maxStep || c.For > maxStep:
		return fmt.Errorf("change %s at step %d, within %d, for %d steps; accepted: 0 to %d each", c.Kind, c.At, c.Within, c.For, maxStep)
	}
	return nil
}

// part says what a change of its kind happens to.
func (c Change) part() string {
	if c.Kind == Heavy {
		return "service"
	}
	return "node"
}

func (c Change) parts(l *mesh.Layout) int {
	if c.Kind == Heavy {
		return len(l.Microservices)
	}
	return l.Mesh.N()
}

// names are those of what it may happen to.
func (c Change) names(l *mesh.Layout) []string {
	if c.Kind == Heavy {
		return l.Microservices
	}
	return l.Mesh.NodeNames()
}

func (c Change) factor() float64 {
	if c.Factor == 0 {
		return 2
	}
	return c.Factor
}

// Parse reads a change as a scenario or a command says it, "slow:node=1,factor=2,at=60":
// its kind, and after a colon what it happens to, by name or counted from 1 (node,
// or service for a microservice; default all), factor, at, within and for.
func Parse(text string, l *mesh.Layout) (Change, error) {
	kind, options, _ := strings.Cut(text, ":")
	c := Change{Kind: Kind(kind), Of: All}
	wrap := func(format string, args ...any) (Change, error) {
		return Change{}, fmt.Errorf("change %.80q: %s", text, fmt.Sprintf(format, args...))
	}
	if !slices.Contains(Kinds(), c.Kind) {
		return wrap("unknown kind %.80q; accepted: %v", kind, Kinds())
	}
	seen := map[string]bool{}
	for field := range strings.SplitSeq(options, ",") {
		if options == "" {
			break
		}
		name, value, _ := strings.Cut(field, "=")
		if seen[name] {
			return wrap("option %s is there twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case c.part():
			names := c.names(l)
			if c.Of = slices.Index(names, value); c.Of < 0 {
				n, e := strconv.Atoi(value)
				if e != nil || n < 1 || n > len(names) {
					return wrap("%s %.80q; accepted: %s, or 1 to %d", name, value, strings.Join(names, ", "), len(names))
				}
				c.Of = n - 1
			}
		case "factor":
			if c.Factor, err = strconv.ParseFloat(value, 64); c.Factor == 0 && err == nil {
				err = strconv.ErrRange
			}
		case "at":
			c.At, err = strconv.Atoi(value)
		case "within":
			c.Within, err = strconv.Atoi(value)
		case "for":
			c.For, err = strconv.Atoi(value)
		default:
			return wrap("unknown option %.80q; accepted: %s, factor, at, within, for", name, c.part())
		}
		if err != nil {
			return wrap("option %s is %.80q; accepted: a number, of steps a whole one", name, value)
		}
	}
	if err := c.Validate(l); err != nil {
		return Change{}, err
	}
	return c, nil
}

// ParseAll reads several.
func ParseAll(texts []string, l *mesh.Layout) ([]Change, error) {
	var list []Change
	for _, text := range texts {
		c, err := Parse(text, l)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Format is the change as Parse reads it.
func (c Change) Format(l *mesh.Layout) string {
	var parts []string
	if c.Of >= 0 {
		parts = append(parts, c.part()+"="+c.names(l)[c.Of])
	}
	if c.Kind != Lost {
		parts = append(parts, "factor="+strconv.FormatFloat(c.factor(), 'g', -1, 64))
	}
	for _, x := range []struct {
		name  string
		value int
	}{{"at", c.At}, {"within", c.Within}, {"for", c.For}} {
		if x.value > 0 {
			parts = append(parts, x.name+"="+strconv.Itoa(x.value))
		}
	}
	return strings.TrimSuffix(string(c.Kind)+":"+strings.Join(parts, ","), ":")
}

// Begins is the step before which the change happens in the run of a seed; k is
// its number among the run's changes.
func (c Change) Begins(seed uint64, k int) int {
	if c.Within == 0 {
		return c.At
	}
	return c.At + rand.New(rand.NewPCG(seed, 0x6368616e6765+uint64(k))).IntN(c.Within+1)
}

// Condition is how a mesh differs from what its scenario says.
type Condition struct {
	Speed   []float64 // per node: factor of its speed; 0: it is lost
	Work    []float64 // per microservice of the layout: factor of its service times
	StartUp []float64 // per node: factor of the time in which replicas start
}

// As is the condition of a mesh that is as its scenario says.
func As(l *mesh.Layout) Condition {
	ones := func(n int) []float64 { return slices.Repeat([]float64{1}, n) }
	return Condition{ones(l.Mesh.N()), ones(len(l.Microservices)), ones(l.Mesh.N())}
}

// At is the condition in step t of the run of a seed. Factors of several changes
// multiply.
func At(l *mesh.Layout, changes []Change, seed uint64, t int) Condition {
	now := As(l)
	for k, c := range changes {
		begins := c.Begins(seed, k)
		if t < begins || c.For > 0 && t >= begins+c.For {
			continue
		}
		list, factor := now.Speed, 1/c.factor()
		switch c.Kind {
		case Heavy:
			list, factor = now.Work, c.factor()
		case Lost:
			factor = 0
		case StartUp:
			list, factor = now.StartUp, c.factor()
		}
		for j := range list {
			if c.Of == All || c.Of == j {
				list[j] *= factor
			}
		}
	}
	return now
}

// Equal reports whether c and o are the same.
func (c Condition) Equal(o Condition) bool {
	return slices.Equal(c.Speed, o.Speed) && slices.Equal(c.Work, o.Work) && slices.Equal(c.StartUp, o.StartUp)
}

// Validate reports a condition that is none of the mesh of layout l.
func (c Condition) Validate(l *mesh.Layout) error {
	for _, x := range []struct {
		what  string
		list  []float64
		n     int
		least float64
	}{{"speeds", c.Speed, l.Mesh.N(), 0}, {"factors of work", c.Work, len(l.Microservices), 1e-9}, {"factors of start-up", c.StartUp, l.Mesh.N(), 1e-9}} {
		if len(x.list) != x.n {
			return fmt.Errorf("change: %d %s; the mesh takes %d", len(x.list), x.what, x.n)
		}
		for _, v := range x.list {
			if !(v >= x.least) || math.IsInf(v, 1) {
				return fmt.Errorf("change: %v among the %s; accepted: finite numbers from %v", v, x.what, x.least)
			}
		}
	}
	return nil
}

// Say is the condition for people, "" where the mesh is as its scenario says.
func (c Condition) Say(l *mesh.Layout) string {
	var parts []string
	for j, v := range c.Speed {
		switch name := l.Mesh.NodeNames()[j]; {
		case v == 0:
			parts = append(parts, name+" lost")
		case v != 1:
			parts = append(parts, fmt.Sprintf("%s %.3g times as fast", name, v))
		}
	}
	for u, v := range c.Work {
		if v != 1 {
			parts = append(parts, fmt.Sprintf("%s %.3g times the work", l.Microservices[u], v))
		}
	}
	for j, v := range c.StartUp {
		if v != 1 {
			parts = append(parts, fmt.Sprintf("replicas of %s start in %.3g times the time", l.Mesh.NodeNames()[j], v))
		}
	}
	return strings.Join(parts, "; ")
}
