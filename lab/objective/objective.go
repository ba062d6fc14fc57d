// Package objective holds management objectives as reward functions: what a
// step is worth, given the offered load, the action and what was measured.
// MO1, MO2 and MO3 are the paper's (Section II); any other is an Objective with
// a Reward function of one's own, written where it is used.
package objective

import (
	"fmt"
	"math"
	"strings"
)

// Target is what a service is to achieve: a mean response time of at most Goal.
type Target struct {
	Goal      float64 // O_i in s
	Centre    float64 // c_i in s, where the utility of a late service has fallen to 1/2
	Steepness float64 // of that fall, in 1/s; 0 means the paper's 200
}

// PaperTargets are the objectives of the paper's two services:
// O = (35 ms, 110 ms), c = (50 ms, 113 ms).
func PaperTargets() []Target {
	return []Target{{Goal: .035, Centre: .050}, {Goal: .110, Centre: .113}}
}

// PaperGoals are the O_i of PaperTargets, s.
func PaperGoals() (goals []float64) {
	for _, t := range PaperTargets() {
		goals = append(goals, t.Goal)
	}
	return goals
}

// Utility is r_i(d) for response time d in s (paper, Section II and Fig. 3): 1
// for d <= O_i, else 1/(1+exp(s(d-c_i))). A missing response time (NaN) has no
// utility: 0.
func (t Target) Utility(d float64) float64 {
	switch {
	case math.IsNaN(d):
		return 0
	case d <= t.Goal:
		return 1
	}
	s := t.Steepness
	if s == 0 {
		s = 200
	}
	return 1 / (1 + math.Exp(s*(d-t.Centre)))
}

func (t Target) validate() error {
	if !(t.Goal > 0) || !(t.Centre > 0) || !(t.Steepness >= 0) {
		return fmt.Errorf("goal %v s, centre %v s, steepness %v; goal and centre are above 0, steepness is not negative",
			t.Goal, t.Centre, t.Steepness)
	}
	return nil
}

// DelayKind is how the response times of the nodes make that of a service.
type DelayKind int

const (
	// RequestWeighted is the mean over all answered requests: the paper's d_i.
	RequestWeighted DelayKind = iota
	// MaxOverNodes is the largest of the nodes' means, as the authors' code has it.
	MaxOverNodes
)

func (k DelayKind) String() string {
	return [...]string{"request-weighted mean", "max over nodes"}[k]
}

// CarriedKind is which carried load the reward counts.
type CarriedKind int

const (
	// Measured is the load that the front was seen to let through.
	Measured CarriedKind = iota
	// Nominal is l_i(1-b_i), whatever was let through, as the authors' simulator has it.
	Nominal
)

func (k CarriedKind) String() string { return [...]string{"measured", "nominal l(1-b)"}[k] }

// Outcome is one service's side of a step, as a Reward function sees it.
type Outcome struct {
	Offered float64 // l_i, requests/s
	Carried float64 // l_i^c, requests/s
	Delay   float64 // d_i in s; NaN when no request was answered or when only Utility is known
	Utility float64 // r_i(d_i), or its expectation
}

// Objective is a management objective. Give it to a sim.Env or to
// sim.NewRewards; they bind it to their mesh.
type Objective struct {
	Name string
	// Services names the services that Reward sees, in its order; nil means all
	// of the mesh.
	Services []string
	// Targets has one target for each of Services; nil means PaperTargets.
	Targets []Target
	// Delay is how d_i is formed. Default RequestWeighted.
	Delay DelayKind
	// Carried is which carried load counts. Default Measured.
	Carried CarriedKind
	// Reward is the value of a step; s has one outcome for each of Services.
	Reward func(s []Outcome) float64
}

// AsPublished returns o as the authors' code computes it: max over nodes and
// nominal carried load.
func (o Objective) AsPublished() Objective {
	o.Delay, o.Carried = MaxOverNodes, Nominal
	return o
}

// MO1 maximises the useful carried load: l1c r1(d1) + l2c r2(d2).
func MO1() Objective { return weighted("MO1", 1, 1) }

// MO2 favours the second service: l1c r1(d1) + 5 l2c r2(d2).
func MO2() Objective { return weighted("MO2", 1, 5) }

func weighted(name string, weights ...float64) Objective {
	return Objective{Name: name, Reward: func(s []Outcome) float64 {
		sum := 0.0
		for i := range s {
			w := 1.0
			if i < len(weights) {
				w = weights[i]
			}
			sum += w * s[i].Carried * s[i].Utility
		}
		return sum
	}}
}

// MinLoad is l_min of MO3, requests/s.
const MinLoad = 5

// MO3 maximises the second service's useful load while the first is carried at
// no less than MinLoad: l2c (r3(l1c) + r2(d2)).
func MO3() Objective {
	return Objective{Name: "MO3", Reward: func(s []Outcome) float64 {
		return s[1].Carried * (MinLoadUtility(s[0].Carried) + s[1].Utility)
	}}
}

// MinLoadUtility is r3 (paper, Fig. 3b): 1 for a carried load of at least
// MinLoad, and a steep fall (tanh) to 0 below it, with 1/2 half a request/s
// under the bound.
func MinLoadUtility(carried float64) float64 {
	if carried >= MinLoad {
		return 1
	}
	return (1 + math.Tanh(5*(carried-(MinLoad-.5)))) / 2
}

// Paper returns the paper's three objectives.
func Paper() []Objective { return []Objective{MO1(), MO2(), MO3()} }

// Parse returns the paper's objective of that name.
func Parse(name string) (Objective, error) {
	var names []string
	for _, o := range Paper() {
		if strings.EqualFold(o.Name, name) {
			return o, nil
		}
		names = append(names, o.Name)
	}
	return Objective{}, fmt.Errorf("objective: unknown objective %q; there are %s", name, strings.Join(names, ", "))
}
