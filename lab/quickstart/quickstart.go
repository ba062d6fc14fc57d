// Package quickstart is the whole way in some seconds: a trace of a simulated
// mesh, a system model that is learned from it, policies that are trained on the
// model, and what they truly get on the mesh.
package quickstart

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// Config says how much is done. The zero value is that of the command.
type Config struct {
	Steps    int     // of the trace; default 6,000
	Training float64 // part of the training steps of setting best; default .4
	// Loads are those at which policies are compared with the best action. Default
	// five of the range.
	Loads []mesh.Load
	// Truth is how closely the best action is looked for. Its defaults here are
	// coarser than study's.
	Truth study.TruthConfig
	// Dir is the folder of the figure, quickstart.svg.
	Dir string
	// Out gets a line for each part and the table.
	Out io.Writer
}

func (c Config) defaults() Config {
	c.Steps = cmp.Or(c.Steps, 6000)
	c.Training = cmp.Or(c.Training, .4)
	if c.Loads == nil {
		c.Loads = []mesh.Load{{5, 20}, {10, 10}, {15, 15}, {20, 5}, {20, 20}}
	}
	c.Truth.Screen = cmp.Or(c.Truth.Screen, 8)
	c.Truth.Refine = cmp.Or(c.Truth.Refine, 400)
	c.Truth.Score = cmp.Or(c.Truth.Score, 800)
	c.Truth.Keep = cmp.Or(c.Truth.Keep, 24)
	return c
}

// Run runs it on the paper's scenario: two services on two nodes.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.defaults()
	begin := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(cfg.Out, "%5.1f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	s := scenario.Paper()
	source, err := study.Virtual(ctx, s, cfg.Steps, 1)
	if err != nil {
		return err
	}
	say("trace: %d steps of random load and random actions on a simulated mesh", cfg.Steps)
	setting := study.Best(s).Short(cfg.Training)
	setting.Load = load.Random{Ranges: s.Loads} // of few loads, whose best actions are soon known
	result, err := study.Run(ctx, study.Config{Sources: []study.Source{source}, Settings: []study.Setting{setting}, Seeds: 1, Splits: 1,
		Patterns: study.PaperPatterns(s)[:1]})
	if err != nil {
		return err
	}
	say("model: learned from the trace; policies: one trained by PPO on the model for each of %d objectives", len(result.Config.Objectives))
	truth, err := study.FindTruth(ctx, cfg.Truth, s, cfg.Loads, result.Config.Objectives, nil)
	if err != nil {
		return err
	}
	shares, err := compare(ctx, result, source, setting, truth)
	if err != nil {
		return err
	}
	say("truth: every one of the %s actions tried on the mesh at %d loads", s.MustSpace().Size(), len(cfg.Loads))
	fmt.Fprintf(cfg.Out, "\nReward on the mesh, over that of the best action tried: the mean over %d loads.\n\n", len(cfg.Loads))
	if _, err := cfg.Out.Write(table(result.Config.Objectives, shares).Markdown()); err != nil {
		return err
	}
	drawing, err := figure.Dots(figure.Axes{X: "objective", Y: "share of the best tried", Min: 0, Max: 1.05}, shares...)
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.Dir, "quickstart.svg")
	var svg bytes.Buffer
	if _, err := drawing.WriteTo(&svg); err != nil {
		return err
	}
	if err := atomicfile.Write(path, svg.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(cfg.Out, "\nThe same as a figure: %s\n", path)
	return nil
}

// compare returns what each policy gets of the best, by objective.
func compare(ctx context.Context, result *study.Result, source study.Source, setting study.Setting, truth *study.Truth) ([]figure.Bar, error) {
	contests, err := result.Contests(ctx, source, setting)
	if err != nil {
		return nil, err
	}
	var bars []figure.Bar
	add := func(o objective.Objective, name string, share float64) {
		bars = append(bars, figure.Bar{Group: o.Name, Name: name, Value: share, Lo: share, Hi: share})
	}
	for k, c := range contests {
		o := c.Objective
		var list []policy.Policy
		var names []string
		for _, x := range c.Policies {
			if x.Name == "random" { // its mean over all actions is known
				continue
			}
			p, err := x.New(0)
			if err != nil {
				return nil, err
			}
			list, names = append(list, p), append(names, x.Name)
		}
		shares, err := truth.Scores(ctx, c.Reference.Space(), o, list)
		if err != nil {
			return nil, err
		}
		for n, share := range shares {
			add(o, names[n], share)
		}
		random := 0.0
		for l, reward := range truth.Random[k] {
			random += reward / truth.Optimum[k][l] / float64(len(truth.Loads))
		}
		add(o, "random", random)
	}
	return bars, nil
}

// about says in a few words what each policy does.
var about = map[string]string{
	"ppo":          "learned on the model",
	"greedy":       "action with the best reward of foreseen mean delays",
	"constant":     "one action for all loads, the best by the model",
	"proportional": "routes by speed of nodes, blocks above 70 % busy",
	"random":       "any action",
}

// table lists the shares, a row for each policy.
func table(objectives []objective.Objective, shares []figure.Bar) figure.Table {
	t := figure.Table{Header: []string{"policy", "what it does"}}
	best := []string{"best tried", "the best of all actions at each load, by trial"}
	for _, o := range objectives {
		t.Header, best = append(t.Header, o.Name), append(best, figure.Number(1, 3))
	}
	t.Rows = [][]string{best}
	row := map[string]int{}
	for _, b := range shares {
		k, ok := row[b.Name]
		if !ok {
			k = len(t.Rows)
			row[b.Name] = k
			t.Rows = append(t.Rows, []string{b.Name, about[b.Name]})
		}
		t.Rows[k] = append(t.Rows[k], figure.Number(b.Value, 3))
	}
	return t
}
