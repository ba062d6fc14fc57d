package study

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
)

// Setting is how policies are trained.
type Setting struct {
	Name    string
	Learner learner.Learner
	Load    load.Pattern // what is offered during training
	Score   []mesh.Load  // loads by whose ANR a policy is kept; default those of random load
}

// Names of the settings that the study knows.
const (
	PaperSetting = "paper"
	BestSetting  = "best"
)

// Paper is the paper's own setting (Section V): the loads as they are for
// observation, loads of a few values, a head for each knob, constant learning
// rate.
func Paper(s scenario.Scenario) Setting {
	return Setting{
		Name:    PaperSetting,
		Learner: learner.PPO{Config: ppo.Config{TotalSteps: 100 * 1024, EvalEvery: 1024}, Heads: learner.PerKnob},
		Load:    load.Random{Ranges: s.Loads},
	}
}

// Best is the setting that does best: loads from the whole range beside those of
// random load, shown at knots, larger batches, and an entropy bonus and a learning
// rate that both fall to 0. In a space of few actions there is one choice among
// all of them, and each load is met by eight draws. Else it is met by four, there is a
// head for each knob that knows what those before it chose, a wider network, smaller
// batches, more frequent updates, and training is longer the more knobs there are.
func Best(s scenario.Scenario) Setting {
	l := learner.PPO{
		Config: ppo.Config{
			TotalSteps: 600 * 1024, EvalEvery: 8 * 1024,
			Batch: 1024, Steps: 1024, Epochs: 3, Common: true, LearningRate: 6e-3, LearningRateSchedule: ppo.Linear,
			EntropyCoef: .2, EntropyCoefSchedule: ppo.Linear,
		},
		Observation:  learner.Observation{Knots: 76, Gain: 2},
		Heads:        learner.WholeAction,
		Environments: 8,
	}
	space := s.MustSpace()
	if space.Slow() {
		return Foresighted(s)
	}
	if space.Len() > learner.MaxWhole {
		l.Heads, l.Config.Autoregressive = learner.PerKnob, true
		l.Environments = 4
		knobs := len(space.Knobs())
		l.Config.TotalSteps, l.Config.Steps = 15*1024*knobs*knobs, 256
		l.Config.EvalEvery = l.Config.TotalSteps / 25
		l.Config.Hidden, l.Config.Batch = []int{96, 96}, 256
		l.Config.LearningRate, l.Config.EntropyCoef = 4e-3, .1
		l.Observation.Knots = 16
	}
	return Setting{Name: BestSetting, Learner: l, Load: load.Mixed{load.Random{Ranges: s.Loads}, load.Uniform{Ranges: s.Loads}}}
}

// maxOneHead is the number of actions up to which a policy that looks ahead has one
// head for all.
const maxOneHead = 64

// Foresighted is setting best where knobs take their time: rewards to come count,
// the last loads and what is on its way are seen, and random draws are held for
// longer than a knob takes, without which no training sees what it is good for.
// Its load goes through the scenario's patterns in turn.
func Foresighted(s scenario.Scenario) Setting {
	s = s.Defaults()
	space := s.MustSpace()
	patterns, err := s.LoadPatterns()
	if err != nil {
		panic("study: " + err.Error()) // a valid scenario has them
	}
	steps := int(math.Ceil(space.Longest() / s.Timing.Seconds()))
	l := learner.PPO{
		Config: ppo.Config{
			TotalSteps: 200 * 1024, EvalEvery: 8 * 1024, Gamma: s.Gamma(), GAELambda: .85,
			Steps: 512, Batch: 512, Epochs: 8, LearningRate: 5e-3, LearningRateSchedule: ppo.Linear,
			EntropyCoef: .05, EntropyCoefSchedule: ppo.Linear,
		},
		Observation:  learner.Observation{Normalise: true, Knots: 8, Past: 6, InForce: true},
		Heads:        learner.PerKnob,
		Episode:      s.Episode / 2,
		Environments: 8,
		Hold:         2*steps + 1,
	}
	switch {
	case len(space.Knobs()) > 1 && space.Len() <= maxOneHead:
		l.Heads = learner.WholeAction
	case len(space.Knobs()) > 1:
		l.Config.Autoregressive, l.Config.Hidden = true, []int{128, 128}
		l.Config.TotalSteps, l.Config.Steps, l.Environments = 400*1024, 256, 16
		l.Config.LearningRate, l.Config.EntropyCoef = 3e-3, .02
		l.Immediate = !slices.ContainsFunc(s.Objectives, objective.Objective.Changes)
	}
	return Setting{Name: BestSetting, Learner: l, Load: load.Switching{Patterns: patterns}}
}

// past is the number of loads of the steps before that its policies see.
func (s Setting) past() int {
	if l, ok := s.Learner.(learner.PPO); ok {
		return l.Observation.Past
	}
	return 0
}

// Short returns s with the given fraction of its training steps.
func (s Setting) Short(fraction float64) Setting {
	if l, ok := s.Learner.(learner.PPO); ok {
		l.Config.TotalSteps = max(int(float64(l.Config.TotalSteps)*fraction), l.Config.EvalEvery)
		s.Learner = l
	}
	return s
}

// maxGrid bounds the loads over which means are exact expectations.
const maxGrid = 64

// Evaluated is a load pattern with the number of steps that are evaluated.
type Evaluated struct {
	Pattern load.Pattern
	Steps   int
	// Loads are those over which a mean is the pattern's expectation: of random
	// load its distinct ones, else the load of each step.
	Loads []mesh.Load
}

// Patterns returns the two loads of the paper's evaluation: random (seen in
// training) and sinusoidal (unseen), for the given numbers of steps; the period
// of the sinusoid is that of the published runs, 600.
func Patterns(s scenario.Scenario, random, sinusoidal int) []Evaluated {
	return []Evaluated{
		{load.Random{Ranges: s.Loads}, random, s.Loads.Grid(maxGrid)},
		stepwise(load.Sinusoidal{Ranges: s.Loads}, sinusoidal),
	}
}

// PaperPatterns are Patterns of the paper's lengths, 150 and 400 steps.
func PaperPatterns(s scenario.Scenario) []Evaluated { return Patterns(s, 150, 400) }

// TrialPatterns are the loads of a trial on a testbed: the given number of steps
// of random load, which is that of training, and of one period of a sinusoid,
// which is not.
func TrialPatterns(s scenario.Scenario, steps int) []Evaluated {
	return []Evaluated{
		{load.Random{Ranges: s.Loads}, steps, s.Loads.Grid(maxGrid)},
		stepwise(load.Sinusoidal{Ranges: s.Loads, Period: steps}, steps),
	}
}

// stepwise evaluates a pattern whose seed changes nothing.
func stepwise(p load.Pattern, steps int) Evaluated {
	e := Evaluated{Pattern: p, Steps: steps}
	for t := range steps {
		e.Loads = append(e.Loads, p.At(nil, 0, t))
	}
	return e
}

// key is what a training by the setting depends on.
func (s Setting) key() []any {
	return []any{s.Name, plain(s.Learner), pattern(s.Load), s.Score}
}

// plain is a value as a hash sees it: its type and its data. What cannot be
// written down is not cached.
func plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return uncached{}
	}
	return fmt.Sprintf("%T %s", v, b)
}

// pattern is a load pattern as a hash sees it.
func pattern(p load.Pattern) any {
	mixed, ok := p.(load.Mixed)
	if !ok {
		return plain(p)
	}
	var parts []any
	for _, x := range mixed {
		parts = append(parts, pattern(x))
	}
	return plain(parts)
}
