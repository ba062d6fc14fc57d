// Package objective holds management objectives as reward functions: what a
// step is worth, given the offered load, the action and what was measured. An
// Objective is data where it can be, a sum of terms that are products of
// factors, so that it can be written in a file, printed and hashed; any other
// is a Reward function of one's own.
package objective

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Target is what a service is to achieve: a mean response time of at most Goal.
type Target struct {
	Goal      float64 `json:"goal"`                // O_i in s
	Centre    float64 `json:"centre,omitempty"`    // c_i in s, where the utility of a late service has fallen to 1/2; default 1.15 Goal
	Steepness float64 `json:"steepness,omitempty"` // of that fall, in 1/s; default 20/Goal
}

func (t Target) defaults() Target {
	if t.Centre == 0 {
		t.Centre = 1.15 * t.Goal
	}
	if t.Steepness == 0 {
		t.Steepness = 20 / t.Goal
	}
	return t
}

// Utility is r_i(d) for response time d in s (paper, Section II and Fig. 3): 1
// for d <= O_i, else 1/(1+exp(s(d-c_i))). A missing response time (NaN) has no
// utility: 0.
func (t Target) Utility(d float64) float64 {
	t = t.defaults()
	return t.utility(d)
}

// utility is Utility of a target with its defaults.
func (t *Target) utility(d float64) float64 {
	switch {
	case math.IsNaN(d):
		return 0
	case d <= t.Goal:
		return 1
	}
	return 1 / (1 + math.Exp(t.Steepness*(d-t.Centre)))
}

// Validate reports a value that is not accepted.
func (t Target) Validate() error {
	t = t.defaults()
	const hours = 1e5 // s
	for _, v := range []struct {
		name        string
		value, most float64
	}{{"goal", t.Goal, hours}, {"centre", t.Centre, 2 * hours}, {"steepness", t.Steepness, 1e9}} {
		if !(v.value > 0 && v.value <= v.most) {
			return fmt.Errorf("%s is %v; accepted: above 0 to %v", v.name, v.value, v.most)
		}
	}
	return nil
}

// DelayKind is how the response times of the nodes make that of a service.
type DelayKind int

const (
	// RequestWeighted is the mean over all answered requests: the paper's d_i.
	RequestWeighted DelayKind = iota
	// MaxOverNodes is the largest of the nodes' means, as the authors' code has
	// it; of a service of several stages, the sum of those.
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
	Delay   float64 // d_i in s; NaN when no request was answered
	Utility float64 // r_i(d_i)
	// Percentiles of the response time in s; NaN where they are not known.
	P50, P95, P99 float64
	Failed        float64 // share of the carried requests without a good answer
}

// Objective is a management objective. Give it to a control.Env or to
// optimum.NewRewards; they bind it to their mesh.
type Objective struct {
	Name string `json:"name"`
	// Services names the services that Reward sees, in its order; nil means all
	// of the mesh.
	Services []string `json:"services,omitempty"`
	// Targets has one target for each of Services. There is no default.
	Targets []Target `json:"targets,omitempty"`
	// Delay is how d_i is formed. Default RequestWeighted.
	Delay DelayKind `json:"delay,omitempty"`
	// Carried is which carried load counts. Default Measured.
	Carried CarriedKind `json:"carried,omitempty"`
	// Terms sum to the value of a step.
	Terms []Term `json:"terms,omitempty"`
	// Reward is the value of a step in place of Terms; services has one outcome
	// for each of Services.
	Reward func(services []Outcome, s Step) float64 `json:"-"`
	// Version tells own Reward functions of one name apart. What depends on one
	// without a version is not cached.
	Version string `json:"version,omitempty"`
}

// Key is what tells objectives apart: all of their data. It is false for an own
// Reward function without a version, which nothing can be cached of.
func (o Objective) Key() (string, bool) {
	if o.Reward != nil && o.Version == "" {
		return "", false
	}
	b, err := json.Marshal(struct {
		Objective
		Own bool
	}{o, o.Reward != nil})
	return string(b), err == nil
}

// Tail reports whether o looks at percentiles or at failed requests, which a
// model has to be told to learn. Of an own Reward function that is not known.
func (o Objective) Tail() bool {
	for _, t := range o.Terms {
		for _, f := range t.Product {
			if f.Quantile != Mean || f.Of == Failures || f.Of == Over {
				return true
			}
		}
	}
	return o.Reward != nil
}

// Costs reports whether the value of a step depends on what is paid, and Changes
// whether it depends on the action before. Of an own Reward function both may.
func (o Objective) Costs() bool { return o.Reward != nil || o.sees(Cost) }

// Changes reports whether the value of a step depends on the action before.
func (o Objective) Changes() bool { return o.Reward != nil || o.sees(Changed) }

func (o Objective) sees(q Quantity) bool {
	return slices.ContainsFunc(o.Terms, func(t Term) bool {
		return slices.ContainsFunc(t.Product, func(f Factor) bool { return f.Of == q })
	})
}

// AsPublished returns o as the authors' code computes it: max over nodes and
// nominal carried load.
func (o Objective) AsPublished() Objective {
	o.Delay, o.Carried = MaxOverNodes, Nominal
	return o
}

// String is the objective for people: "MO1: carried(a) utility(a) + 5 carried(b) utility(b)".
func (o Objective) String() string {
	if o.Reward != nil {
		return o.Name + ": a function of its own"
	}
	var terms []string
	for _, t := range o.Terms {
		terms = append(terms, t.String())
	}
	return o.Name + ": " + strings.ReplaceAll(strings.Join(terms, " + "), " + -", " - ")
}

// Useful is the objective of the useful carried load, the sum of w_i l_i^c
// r_i(d_i) over the named services (MO1 and MO2 of the paper); weights default
// to 1.
func Useful(name string, services []string, targets []Target, weights ...float64) Objective {
	o := Objective{Name: name, Services: services, Targets: targets}
	for i, s := range services {
		t := Term{Product: []Factor{{Of: Carried, Service: s}, {Of: Utility, Service: s}}}
		if i < len(weights) {
			t.Weight = weights[i]
		}
		o.Terms = append(o.Terms, t)
	}
	return o
}

// Guaranteed is the objective of MO3: the useful carried load of service of,
// where service floor is carried at no less than least requests/s:
// l_of (r3(l_floor) + r_of(d_of)).
func Guaranteed(name string, services []string, targets []Target, of, floor string, least float64) Objective {
	return Objective{Name: name, Services: services, Targets: targets, Terms: []Term{
		{Product: []Factor{{Of: Carried, Service: of}, {Of: MinLoad, Service: floor, Bound: least}}},
		{Product: []Factor{{Of: Carried, Service: of}, {Of: Utility, Service: of}}},
	}}
}

// GuaranteedProduct is MO3 as the published evaluation runs count it, a product
// rather than a sum: l_of r_of(d_of), where l_floor >= least, else 0.
func GuaranteedProduct(name string, services []string, targets []Target, of, floor string, least float64) Objective {
	return Objective{Name: name, Services: services, Targets: targets, Terms: []Term{
		{Product: []Factor{{Of: Carried, Service: of}, {Of: Utility, Service: of}, {Of: AtLeast, Service: floor, Bound: least}}},
	}}
}

// MinLoadUtility is r3 (paper, Fig. 3b): 1 for a carried load of at least
// least, and a steep fall (tanh) to 0 below it, with 1/2 half a request/s
// under the bound.
func MinLoadUtility(carried, least float64) float64 {
	if carried >= least {
		return 1
	}
	return (1 + math.Tanh(5*(carried-(least-.5)))) / 2
}

// Find returns the objective of that name among a list.
func Find(list []Objective, name string) (Objective, error) {
	var names []string
	for _, o := range list {
		if strings.EqualFold(o.Name, name) {
			return o, nil
		}
		names = append(names, o.Name)
	}
	return Objective{}, fmt.Errorf("objective: unknown objective %q; there are %s", name, strings.Join(names, ", "))
}

var errNoReward = errors.New("it has neither terms nor a Reward function")
