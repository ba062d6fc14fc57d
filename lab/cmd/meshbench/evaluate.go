package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"meshbench/lab/anr"
	"meshbench/lab/nb"
	"meshbench/lab/study"
	"meshbench/lab/testbed"
	"meshbench/lab/testbed/local"
	"meshbench/lab/testbed/virtual"
)

// trialSetting is the one whose policies go to a testbed.
var trialSetting = study.Best().Name

// evaluate is the command that makes a trial on a testbed.
func evaluate(ctx context.Context, root string, args []string) error {
	flags := flag.NewFlagSet("evaluate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	bed := flags.String("testbed", "local", "`NAME` of the testbed: local or virtual")
	runs := flags.Int("runs", 5, "runs of each policy, objective and load")
	steps := flags.Int("steps", 150, "steps of a run")
	beds := flags.Int("beds", 1, "testbeds at a time")
	scale := flags.Float64("timescale", 10, "local: times are divided and rates multiplied by it")
	file := flags.String("file", "", "`FILE` to keep the runs in and to go on from (default .out/evaluation-NAME.csv)")
	if err := flags.Parse(args); err != nil {
		flags.SetOutput(os.Stderr)
		fmt.Fprintln(os.Stderr, "usage: meshbench evaluate [options]\n\nTrains policies on the project's own trace, where the cache has none, and evaluates\nthem on a testbed beside the baselines, all under the same loads and requests.")
		flags.PrintDefaults()
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return fmt.Errorf("evaluate: %w", err)
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("evaluate: %q: only options are accepted; meshbench evaluate -help lists them", flags.Arg(0))
	case *runs < 1 || *steps < 1 || *beds < 1:
		return fmt.Errorf("evaluate: -runs %d -steps %d -beds %d; accepted: 1 or more", *runs, *steps, *beds)
	case !(*scale > 0):
		return fmt.Errorf("evaluate: -timescale %v; accepted: above 0, and 1 is real time", *scale)
	}
	t := study.Trial{Runs: *runs, Beds: *beds, Patterns: study.TrialPatterns(*steps), File: *file}
	switch *bed {
	case "local":
		t.Start = func(ctx context.Context) (testbed.Testbed, error) {
			return local.New(ctx, local.Config{TimeScale: *scale})
		}
	case "virtual":
		t.Start = func(context.Context) (testbed.Testbed, error) { return virtual.New(virtual.Config{}) }
	default:
		return fmt.Errorf("evaluate: unknown testbed %q; accepted: local, virtual", *bed)
	}
	if t.File == "" {
		t.File = filepath.Join(root, ".out", "evaluation-"+*bed+".csv")
	}
	own, err := study.Own(ctx, root)
	if err != nil {
		return err
	}
	r, err := runStudy(ctx, []study.Source{own})
	if err != nil {
		return err
	}
	r.Cells = nil
	live := nb.NewLive()
	t.Progress = func(run anr.Run, done, total int) {
		live.Text("run %d of %d: %s, %s, %s load: ANR %.3f", done, total, run.Policy, run.Objective, run.Pattern, run.ANR())
	}
	_, err = r.Trial(ctx, own, trialSetting, t)
	live.Close()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: whole runs are in %s; the same command goes on", t.File)
	}
	if err != nil {
		return err
	}
	comparison, err := r.TrialTable(own.Name)
	if err != nil {
		return err
	}
	os.Stdout.Write(comparison.Markdown())
	fmt.Println("runs:", t.File)
	return nil
}

// onTestbed adds the testbed's results to those of the simulator: of the
// committed trial, and of a short one on this machine.
func onTestbed(ctx context.Context, root string, r *study.Result) error {
	own := slices.IndexFunc(r.Config.Sources, func(s study.Source) bool { return s.Name == "local" || s.Name == "virtual" })
	if own < 0 {
		return nil // a study of the published trace alone: its testbed is not here
	}
	s := r.Config.Sources[own]
	if s.Name == "local" {
		if err := r.KeptTrial(root, s, trialSetting); err != nil {
			return err
		}
	}
	live := nb.NewLive()
	defer live.Close()
	return r.ShortTrial(ctx, s, trialSetting, func(run anr.Run, done, total int) {
		live.Text("short run %d of %d on the local testbed: %s, %s, %s load: ANR %.3f", done, total, run.Policy, run.Objective, run.Pattern, run.ANR())
	})
}
