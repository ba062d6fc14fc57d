package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Actuator puts the knobs of one kind into force on one kind of testbed. A
// testbed has a list of them; a new kind of knob is one more.
type Actuator interface {
	// Kind is the kind of the knobs.
	Kind() mesh.Kind
	// Needs are the rights that it makes use of, to be checked before a run and
	// granted to an account. None where nothing asks for rights.
	Needs() []Right
	// Apply sets the knobs to what action a says. After an error they are as they
	// were, or in between: Apply of the action before puts that right.
	Apply(ctx context.Context, a mesh.Action) error
	// Follow returns when what was applied last is in force. Its error says what
	// is still under way.
	Follow(ctx context.Context) error
}

// Right is something that an account may do, in the terms of Kubernetes' RBAC.
type Right struct {
	Group    string // of the API; "" for the core
	Resource string // "pods", or "deployments/scale" for a part of one
	Verb     string
	Name     string // of the only object that it is for; "" for any
}

// String is the right for people: "patch virtualservices shop".
func (r Right) String() string { return strings.TrimSpace(r.Verb + " " + r.Resource + " " + r.Name) }

// CheckKnobs reports the first knob of s that none of a testbed's actuators is
// for, and what they are for.
func CheckKnobs(s *mesh.Space, actuators []Actuator) error {
	var kinds []mesh.Kind
	for _, a := range actuators {
		kinds = append(kinds, a.Kind())
	}
	slices.Sort(kinds)
	return CheckKinds(s, kinds...)
}

// CheckKinds reports the first knob of s that is of none of the kinds that a
// testbed can set.
func CheckKinds(s *mesh.Space, kinds ...mesh.Kind) error {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k))
	}
	for _, k := range s.Knobs() {
		if !slices.Contains(kinds, k.Kind) {
			return fmt.Errorf("knob %s is of kind %s, which nothing here can set; accepted: %s", k.Name, k.Kind, strings.Join(names, ", "))
		}
	}
	return nil
}
