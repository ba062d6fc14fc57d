package objective

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Term is a weight times a product of factors.
type Term struct {
	Weight  float64  `json:"weight,omitempty"` // default 1
	Product []Factor `json:"product"`
}

// Quantity is what a factor is of.
type Quantity string

const (
	Offered Quantity = "offered"  // l_i, requests/s
	Carried Quantity = "carried"  // l_i^c, requests/s
	Turned  Quantity = "blocked"  // l_i - l_i^c, requests/s
	Delay   Quantity = "delay"    // d_i in s; 0 where nothing was answered
	Late    Quantity = "late"     // how far d_i is above the goal, s; 0 below it
	Utility Quantity = "utility"  // r_i(d_i)
	MinLoad Quantity = "min-load" // r3 of the carried load: 1 from the bound on, falling steeply below it
	AtLeast Quantity = "at-least" // 1 where the carried load is at least the bound, else 0
)

var quantities = []Quantity{Offered, Carried, Turned, Delay, Late, Utility, MinLoad, AtLeast}

func (q Quantity) bounded() bool { return q == MinLoad || q == AtLeast }

// Factor is a quantity of one service. As text it is "carried shop", or
// "min-load shop 5" for one with a bound in requests/s.
type Factor struct {
	Of      Quantity
	Service string
	Bound   float64
}

// MarshalText writes "carried shop".
func (f Factor) MarshalText() ([]byte, error) {
	s := string(f.Of) + " " + f.Service
	if f.Of.bounded() {
		s += " " + strconv.FormatFloat(f.Bound, 'g', -1, 64)
	}
	return []byte(s), nil
}

// UnmarshalText reads what MarshalText writes.
func (f *Factor) UnmarshalText(b []byte) error {
	words := strings.Fields(string(b))
	if len(words) < 2 {
		return fmt.Errorf("factor %q; accepted: a quantity and a service, such as %q", b, "carried shop")
	}
	*f = Factor{Of: Quantity(words[0])}
	if !slices.Contains(quantities, f.Of) {
		return fmt.Errorf("factor %q: unknown quantity %q; accepted: %v", b, words[0], quantities)
	}
	if f.Of.bounded() {
		v, err := strconv.ParseFloat(words[len(words)-1], 64)
		if err != nil || !(v >= 0) || math.IsInf(v, 1) || len(words) < 3 {
			return fmt.Errorf("factor %q: it ends with a bound in requests/s, a finite number >= 0, such as %q", b, words[0]+" shop 5")
		}
		f.Bound, words = v, words[:len(words)-1]
	}
	f.Service = strings.Join(words[1:], " ")
	return nil
}

// String is the term for people.
func (t Term) String() string {
	var parts []string
	if t.Weight != 0 && t.Weight != 1 {
		parts = append(parts, strconv.FormatFloat(t.Weight, 'g', -1, 64))
	}
	for _, f := range t.Product {
		if f.Of.bounded() {
			parts = append(parts, fmt.Sprintf("%s(%s, %g)", f.Of, f.Service, f.Bound))
		} else {
			parts = append(parts, fmt.Sprintf("%s(%s)", f.Of, f.Service))
		}
	}
	return strings.Join(parts, " ")
}

// factor is one whose service is an index in the outcomes.
type factor struct {
	of      Quantity
	service int
	bound   float64
	goal    float64
}

func (f factor) value(s []Outcome) float64 {
	x := &s[f.service]
	switch f.of {
	case Offered:
		return x.Offered
	case Carried:
		return x.Carried
	case Turned:
		return x.Offered - x.Carried
	case Delay:
		if math.IsNaN(x.Delay) {
			return 0
		}
		return x.Delay
	case Late:
		if x.Delay > f.goal {
			return x.Delay - f.goal
		}
		return 0
	case Utility:
		return x.Utility
	case MinLoad:
		return MinLoadUtility(x.Carried, f.bound)
	default: // AtLeast
		if x.Carried >= f.bound {
			return 1
		}
		return 0
	}
}

type term struct {
	weight  float64
	factors []factor
}

// bind turns terms into numbers.
func bind(terms []Term, services []string, targets []Target) ([]term, error) {
	var out []term
	for n, t := range terms {
		b := term{weight: t.Weight}
		if b.weight == 0 {
			b.weight = 1
		}
		if math.IsNaN(b.weight) || math.IsInf(b.weight, 0) {
			return nil, fmt.Errorf("term %d has weight %v; accepted: a finite number", n+1, t.Weight)
		}
		if len(t.Product) == 0 {
			return nil, fmt.Errorf("term %d has no factor", n+1)
		}
		for _, f := range t.Product {
			at := -1
			for i, s := range services {
				if s == f.Service {
					at = i
				}
			}
			if at < 0 {
				return nil, fmt.Errorf("term %d: unknown service %q; the objective sees %s", n+1, f.Service, strings.Join(services, ", "))
			}
			if !slices.Contains(quantities, f.Of) {
				return nil, fmt.Errorf("term %d: unknown quantity %q; accepted: %v", n+1, f.Of, quantities)
			}
			if !(f.Bound >= 0) || math.IsInf(f.Bound, 1) {
				return nil, fmt.Errorf("term %d: bound %v of %s; accepted: a finite number >= 0 in requests/s", n+1, f.Bound, f.Of)
			}
			b.factors = append(b.factors, factor{f.Of, at, f.Bound, targets[at].Goal})
		}
		out = append(out, b)
	}
	return out, nil
}
