package sim

import "github.com/meshbench/meshbench/lab/mesh"

// Heads is how a learning policy's action is divided into choices, one choice
// a head.
type Heads string

const (
	// PerComponent has a head for each routing and each blocking component
	// (the paper's MultiDiscrete). Given the state, the choices are independent
	// of each other: where two components have to change together, the policy
	// stays at the better of what each can reach alone.
	PerComponent Heads = ""
	// WholeAction has one head with a choice for each action of the space: 1,296
	// for the paper's mesh. It finds optima that independent choices do not, at
	// several times the computation for each step.
	WholeAction Heads = "whole"
)

// Of returns the number of choices of each head in the action space.
func (h Heads) Of(space *mesh.Space) []int {
	if h == WholeAction {
		return []int{space.Len()}
	}
	return space.Heads()
}

// Action returns the number of the action with the given choice of each head.
func (h Heads) Action(space *mesh.Space, choice []int) int {
	if h == WholeAction {
		return choice[0]
	}
	return space.FromChoice(choice)
}
