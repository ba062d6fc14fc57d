package study

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
)

// Setting is how policies are trained.
type Setting struct {
	Name        string
	PPO         ppo.Config // without Seed
	Observation sim.Observation
	Heads       sim.Heads
	Load        load.Pattern // what is offered during training
	Score       []mesh.Load  // loads by whose ANR a policy is kept; default those of random load
}

// Paper is the paper's own setting (Section V): the loads as they are for
// observation, loads of 5, 10, 15 and 20 requests/s, constant learning rate.
func Paper() Setting {
	return Setting{
		Name: "paper",
		PPO:  ppo.Config{TotalSteps: 100 * 1024, EvalEvery: 1024},
		Load: load.Random{},
	}
}

// Best is the setting that did best: one choice among all actions, loads from
// the whole range beside the paper's four values, shown at knots, larger
// batches, and an entropy bonus and a learning rate that both fall to 0.
func Best() Setting {
	return Setting{
		Name: "best",
		PPO: ppo.Config{
			TotalSteps: 300 * 1024, EvalEvery: 4 * 1024,
			Batch: 512, Steps: 4096, Epochs: 3, LearningRate: 6e-3, LearningRateSchedule: ppo.Linear,
			EntropyCoef: .2, EntropyCoefSchedule: ppo.Linear,
		},
		Observation: sim.Observation{Knots: 76, Gain: 2},
		Heads:       sim.WholeAction,
		Load:        load.Mixed{load.Random{}, load.Uniform{Quantum: .2}},
	}
}

// Short returns s with the given fraction of its training steps.
func (s Setting) Short(fraction float64) Setting {
	s.PPO.TotalSteps = max(int(float64(s.PPO.TotalSteps)*fraction), s.PPO.EvalEvery)
	return s
}

// Loads lists the loads of the random pattern, each equally likely, so that
// means over them are exact expectations: 16 for the paper's mesh.
func Loads(m mesh.Mesh) []mesh.Load {
	values := []float64{5, 10, 15, 20}
	loads := []mesh.Load{{}}
	for range m.M() {
		var longer []mesh.Load
		for _, l := range loads {
			for _, v := range values {
				longer = append(longer, append(append(mesh.Load{}, l...), v))
			}
		}
		loads = longer
	}
	return loads
}

// Patterns returns the two loads of the paper's evaluation and their steps:
// random (seen in training, 150 steps) and sinusoidal (unseen, 400 steps).
func Patterns() []Evaluated {
	return []Evaluated{{load.Random{}, 150}, {load.Sinusoidal{}, 400}}
}

// Evaluated is a load pattern with the number of steps that are evaluated.
type Evaluated struct {
	Pattern load.Pattern
	Steps   int
}

// describe is a setting as a hash sees it.
func (s Setting) describe() string {
	return fmt.Sprintf("%s %+v %+v %q %#v %v", s.Name, s.PPO, s.Observation, s.Heads, s.Load, s.Score)
}
