package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

const learnText = `learn [options] -o FILE

Learns the system model of a trace, and writes it with its card: what it is,
learned from what, how well it predicts, where it must not be used. Of a trace with
columns of a platform (Prometheus) it prints what those say beyond load and action.`

// maxSplits bounds the models that are learned to score one.
const maxSplits = 1000

// learning is the options of a command that learns from a trace.
type learning struct {
	trace, licence, out string
	joint               bool
}

func (l *learning) register(o options, what string) {
	o.StringVar(&l.trace, "trace", "", "`FILE` of the trace that is learned from (default the project's own, of a scenario other than paper one of its virtual testbed)")
	o.StringVar(&l.licence, "licence", "", "`TEXT` of the licence of the trace, for the card (default that of the project for its own traces, else what the trace says)")
	o.BoolVar(&l.joint, "joint", false, "learn the paper's model, forests of all loads and knobs, rather than what suits the trace best; export takes no other")
	o.StringVar(&l.out, "o", "", "`FILE` of the "+what)
}

// check reports what is wrong with the options of a command.
func (l *learning) check(o options) error {
	switch {
	case o.NArg() > 0:
		return fmt.Errorf("%s: %q: only options are accepted; meshbench %s -help lists them", o.Name(), o.Arg(0), o.Name())
	case l.out == "":
		return fmt.Errorf("%s: say with -o which file to write", o.Name())
	}
	return card.Free(l.out)
}

// source is the trace to learn from.
func (l *learning) source(ctx context.Context, sc scenario.Scenario) (study.Source, error) {
	root := ""
	if l.trace == "" {
		var err error
		if root, err = study.Root(); err != nil {
			return study.Source{}, err
		}
	}
	s, err := source(ctx, root, l.trace, sc)
	if err == nil && l.joint {
		s = s.Paper()
	}
	return s, err
}

// data is what a card says of a trace.
func (l *learning) data(s study.Source) card.Data {
	d := card.Data{Title: s.Title, SHA256: s.SHA256, Rows: s.Rows().Len(), Licence: l.licence}
	if d.Licence == "" {
		d.Licence = s.Trace.Meta().Extra["licence"]
	}
	switch {
	case d.Licence != "":
	case l.trace == "" || simulated(s):
		d.Licence = "that of the project, MIT"
	default:
		d.Licence = "not stated; ask whoever measured"
	}
	return d
}

// about is what the cards of a scenario's artefacts have in common.
func about(what string, sc scenario.Scenario, seed uint64) card.Card {
	return card.Card{What: what, Scenario: sc.Name, ScenarioSHA256: sc.Hash(), Mesh: sc.MustSpace().String(), Services: sc.Mesh.ServiceNames(),
		Loads: sc.Loads, Seed: seed, Scores: []card.Score{}, Limits: []string{
			"Other loads than those above: nothing was learned about them.",
			"Another mesh or other machines, and this one after a change of either: learn again from a trace of it.",
			fmt.Sprintf("Control steps of another length than %v s.", sc.Timing.Seconds()),
		}}
}

const (
	limitSimulated = "A real mesh: what was learned from is a simulation."
	limitShared    = "Nodes that share a resource: the delays of a node are taken to depend on what is carried to it alone."
)

// modelSettings is Settings of a model's card.
type modelSettings struct {
	Kind      string        `json:"kind"`
	Structure string        `json:"structure"`
	Separate  bool          `json:"separate,omitempty"`
	Median    float64       `json:"median,omitempty"`
	Settle    float64       `json:"settle,omitempty"` // rows after a longer delay were left out, s
	Forest    forest.Config `json:"forest"`
}

// modelCard is the card of the model of a source.
func (l *learning) modelCard(s study.Source, seed uint64, scores []study.Score) (card.Card, error) {
	c := about(card.Model, s.Scenario, seed)
	c.Data, c.Expected = l.data(s), s.Expected
	c.Limits = append(c.Limits, limits(s)...)
	for _, x := range scores {
		of := "on 30 % of the rows, split by " + x.Split
		c.Scores = append(c.Scores, card.Score{Name: "NMAE of " + x.Target, Value: x.NMAE, Of: of, Trivial: x.Naive})
	}
	f := s.Forest
	f.Seed = seed
	var err error
	c.Settings, err = json.Marshal(modelSettings{s.Kind.String(), s.Structure.String(), s.Separate, s.Median, s.Settle, f})
	return c, err
}

// limits are those of what was learned from a source.
func limits(s study.Source) (out []string) {
	if simulated(s) {
		out = append(out, limitSimulated)
	}
	if s.Structure == model.NodeInputs {
		out = append(out, limitShared)
	}
	return out
}

// simulated reports whether a source's trace is one of the virtual testbed.
func simulated(s study.Source) bool { return s.Trace != nil && s.Trace.Meta().Testbed == "virtual" }

func learnCommand(ctx context.Context, args []string) error {
	o := newOptions("learn")
	var l learning
	l.register(o, "model")
	seed := o.Uint64("seed", 0, "seed of the forests")
	splits := o.Int("splits", 1, "splits of the rows that the model's scores are means over; 0 for no scores")
	sc, help, err := o.parse(args, learnText)
	if help || err != nil {
		return err
	}
	if err := l.check(o); err != nil {
		return err
	}
	if err := o.check(count{"splits", *splits, 0, maxSplits}); err != nil {
		return err
	}
	s, err := l.source(ctx, sc)
	if err != nil {
		return err
	}
	m, err := s.Learn(ctx, *seed)
	if err != nil {
		return stopped("learn", err)
	}
	var scores []study.Score
	var platform *study.Platform
	if *splits > 0 {
		if scores, err = study.Scores(ctx, s, *splits); err != nil {
			return stopped("learn", err)
		}
		if platform, err = study.PlatformOf(ctx, s, *seed); ctx.Err() != nil {
			return stopped("learn", ctx.Err())
		} else if err != nil {
			warn("%v", err)
		}
	}
	c, err := l.modelCard(s, *seed, scores)
	if err != nil {
		return err
	}
	if err := c.SaveModel(l.out, m); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: model of %d rows of %s; its card is %s\n", l.out, c.Data.Rows, s.Title, card.Beside(l.out, ".md"))
	if platform == nil {
		return nil
	}
	if len(platform.Left) > 0 {
		fmt.Fprintf(stdout, "\nPlatform's columns left out, of fewer than half of the rows or constant: %s\n", strings.Join(platform.Left, ", "))
	}
	if len(platform.Columns) > 0 {
		fmt.Fprintf(stdout, "\nResponse times of rows that were not learned from, by load and action, and by what the platform measured too:\n\n%s", platform.Table().Markdown())
	}
	return nil
}

// stopped says that nothing was written where a signal ended the work.
func stopped(command string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: interrupted; nothing was written", command)
	}
	return err
}

// warn prints what the user should know, and goes on.
func warn(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "meshbench: warning: "+format+"\n", args...)
}
