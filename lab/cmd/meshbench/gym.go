package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/meshbench/meshbench/lab/gym"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/study"
)

const gymText = `gym [options]

Serves the simulator to a program in another language over its standard streams.
The Python package lab/gym/meshbench_gym starts it, and is a Gymnasium environment.`

func gymCommand(ctx context.Context, args []string) error {
	o := newOptions("gym")
	var l learning
	l.register(o, "")
	from := o.String("model", "", "`FILE` of the model to simulate (default one that is learned from the trace)")
	name := o.String("objective", "", "`NAME` of the objective (default the scenario's first)")
	setting := o.String("setting", study.PaperSetting, "what is seen, chosen and offered: as in "+study.PaperSetting+" or "+study.BestSetting)
	envs := o.Int("envs", 1, "environments that are stepped together")
	length := o.Int("length", 0, "steps until an episode is truncated (default the scenario's episode)")
	sc, help, err := o.parse(args, gymText)
	if help || err != nil {
		return err
	}
	sc = sc.Defaults()
	switch {
	case o.NArg() > 0:
		return fmt.Errorf("gym: %q: only options are accepted; meshbench gym -help lists them", o.Arg(0))
	case l.out != "":
		return errors.New("gym: -o: it writes no file")
	}
	if err := o.check(count{"envs", *envs, 1, maxBeds}, count{"length", *length, 0, maxSteps}); err != nil {
		return err
	}
	if *length == 0 {
		*length = sc.Episode
	}
	obj, err := sc.Objective(*name)
	if err != nil {
		return fmt.Errorf("gym: -objective: %w", err)
	}
	set, err := trainSetting(sc, *setting, 0)
	if err != nil {
		return fmt.Errorf("gym: %w", err)
	}
	base, err := l.base(ctx, sc, *from)
	if err != nil {
		return err
	}
	r, err := base.source.Rewards(base.model, obj)
	if err != nil {
		return err
	}
	algorithm, ok := set.Learner.(learner.PPO)
	if !ok {
		return fmt.Errorf("gym: setting %s is not one of PPO", set.Name)
	}
	p := study.Problem(r, sc, set)
	cfg := gym.Config{Title: fmt.Sprintf("%s of scenario %s, setting %s", obj.Name, sc.Name, set.Name), Length: *length}
	for range *envs {
		e, err := learner.NewGym(ctx, p, algorithm.Observation, algorithm.Heads, *length)
		if err != nil {
			return fmt.Errorf("gym: %w", err)
		}
		cfg.Environments = append(cfg.Environments, e)
	}
	if !r.Space().Slow() {
		loads := sc.Loads.Grid(constantLoads)
		coded, err := learner.Code(p, algorithm.Observation, r.Space(), loads)
		if err != nil {
			return fmt.Errorf("gym: %w", err)
		}
		cfg.Loads = coded
		cfg.Score = func(choices [][]int) (float64, error) {
			chosen := &choosing{space: r.Space(), heads: algorithm.Heads, choices: choices}
			score, _, err := policy.Score(r, chosen, loads)
			return score, err
		}
	}
	return gym.Serve(ctx, os.Stdin, os.Stdout, cfg)
}

// choosing is the policy of given choices, one for each load that it is asked for
// in turn.
type choosing struct {
	space   *mesh.Space
	heads   learner.Heads
	choices [][]int
	next    int
	action  mesh.Action
}

func (c *choosing) Name() string { return "choices" }

func (c *choosing) Reset(uint64) { c.next = 0 }

func (c *choosing) Act(mesh.State) (a mesh.Action, err error) {
	c.action, err = c.heads.Action(c.space, c.action, c.choices[c.next])
	c.next++
	return c.action, err
}
