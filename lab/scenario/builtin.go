package scenario

import (
	"github.com/meshbench/meshbench/lab/objective"
)

// Paper is the scenario of Samani and Stadler (CNSM 2022): two information
// services on two nodes, the three objectives of Section II.
func Paper() Scenario { return mustBuiltin("paper") }

func mustBuiltin(name string) Scenario {
	s, err := Open(name)
	if err != nil {
		panic(err.Error()) // tested
	}
	return s
}

// Objective returns the scenario's objective of that name, of no name the first.
func (s Scenario) Objective(name string) (objective.Objective, error) {
	all := s.Defaults().Objectives
	if name == "" {
		return all[0], nil
	}
	return objective.Find(all, name)
}
