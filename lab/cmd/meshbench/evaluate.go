package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/local"
)

// trialSetting is the one whose policies go to a testbed.
const trialSetting = study.BestSetting

// evaluate is the command that makes a trial on a testbed.
func evaluate(ctx context.Context, args []string) error {
	flags := newOptions("evaluate")
	var b bed
	b.register(flags.FlagSet)
	runs := flags.Int("runs", 5, "runs of each policy, objective and load")
	steps := flags.Int("steps", 150, "steps of a run")
	beds := flags.Int("beds", 1, "testbeds at a time")
	file := flags.String("file", "", "`FILE` to keep the runs in and to go on from (default .out/evaluation-SCENARIO-TESTBED.csv)")
	offered := flags.String("load", "", "`NAME` of the load, where knobs take their time (default the scenario's patterns in turn)")
	policies := flags.String("policies", "", "`NAMES` of policies, with commas between, where knobs take their time (default all)")
	learn := flags.String("trace", "", "`FILE` of the trace that policies are learned from (default the project's own, of a scenario other than paper one of its virtual testbed)")
	drawings := flags.String("figures", "", "`FOLDER` for the table of this evaluation and, where knobs take no time, figure 7 (default none)")
	sc, help, err := flags.parse(args, "evaluate [options]\n\nTrains policies on a trace, where the cache has none, and evaluates them on a\ntestbed beside the baselines, all under the same loads and requests.")
	if help || err != nil {
		return err
	}
	if err := b.check(sc); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if err := flags.check(count{"runs", *runs, 1, maxRuns}, count{"steps", *steps, 1, maxSteps}, count{"beds", *beds, 1, maxBeds}); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("evaluate: %q: only options are accepted; meshbench evaluate -help lists them", flags.Arg(0))
	case *beds > 1 && (b.name == "istio" || b.name == "http"):
		return fmt.Errorf("evaluate: -beds %d; accepted for %s: 1, for there is one mesh", *beds, b.name)
	case regular.Folder(*drawings) != nil:
		return fmt.Errorf("evaluate: -figures: %w", regular.Folder(*drawings))
	case sc.Deployed() && *learn == "":
		return errors.New("evaluate: name the trace to learn from with -trace: collect it on this testbed first")
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	start := func(ctx context.Context) (testbed.Testbed, error) { return b.start(ctx, sc) }
	if sc.MustSpace().Slow() {
		t := study.RewardTrial{Start: start, Runs: *runs, Steps: *steps, Beds: *beds, File: *file}
		if t.File == "" {
			t.File = filepath.Join(root, ".out", "evaluation-"+sc.Name+"-"+b.name+".jsonl")
		}
		if *offered != "" {
			if t.Load, err = load.Parse(*offered, sc.Loads); err != nil {
				return fmt.Errorf("evaluate: -load: %w", err)
			}
		}
		if *policies != "" {
			t.Policies = strings.Split(*policies, ",")
		}
		return evaluateRewards(ctx, &b, root, sc, *learn, *drawings, t)
	}
	if *offered != "" || *policies != "" {
		return errors.New("evaluate: -load and -policies are for scenarios whose knobs take their time")
	}
	t := study.Trial{Scenario: sc, Start: start, Runs: *runs, Beds: *beds, Patterns: study.TrialPatterns(sc, *steps), File: *file}
	if t.File == "" {
		t.File = filepath.Join(root, ".out", "evaluation-"+sc.Name+"-"+b.name+".csv")
	}
	own, err := source(ctx, root, *learn, sc)
	if err != nil {
		return err
	}
	cfg := study.Config{Sources: []study.Source{own}}
	if !isPaper(cfg) {
		cfg.Settings = []study.Setting{study.Best(sc)}
	}
	cfg, end, err := prepare(cfg)
	if err != nil {
		return err
	}
	r, err := study.Run(ctx, cfg)
	end()
	if err != nil {
		return interrupted(err)
	}
	r.Cells = nil
	live := nb.NewLive()
	t.Progress = func(run anr.Run, done, total int) {
		live.Text("run %d of %d: %s, %s, %s load: ANR %.3f", done, total, run.Policy, run.Objective, run.Pattern, run.ANR())
	}
	err = b.hold(ctx, sc, "evaluate", func(ctx context.Context) error {
		_, err := r.Trial(ctx, own, trialSetting, t)
		return err
	})
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
	stdout.Write(comparison.Markdown())
	fmt.Fprintln(stdout, "runs:", t.File)
	if *drawings == "" {
		return nil
	}
	names := []string{"trial"}
	if isPaper(r.Config) {
		names = append(names, "fig7")
	}
	wrote, err := r.Draw(ctx, *drawings, names...)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s\n", *drawings, strings.Join(wrote, ", "))
	return nil
}

// evaluateRewards makes a trial of a scenario whose knobs take their time.
func evaluateRewards(ctx context.Context, b *bed, root string, sc scenario.Scenario, learn, drawings string, t study.RewardTrial) error {
	own, err := source(ctx, root, learn, sc)
	if err != nil {
		return err
	}
	cfg, end, err := prepare(study.Config{Sources: []study.Source{own}, Settings: []study.Setting{study.Best(sc)}})
	if err != nil {
		return err
	}
	r, err := study.TrainedOnAll(ctx, cfg)
	end()
	if err != nil {
		return interrupted(err)
	}
	live := nb.NewLive()
	t.Progress = func(run study.RewardRun, done, total int) {
		live.Text("run %d of %d: %s: reward %.3f, cost %.2f, goals missed %.3f", done, total, run.Policy, run.Result.Reward, run.Result.Cost, run.Result.Missed)
	}
	err = b.hold(ctx, sc, "evaluate", func(ctx context.Context) error { return r.RewardTrial(ctx, own, t) })
	live.Close()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: whole runs are in %s; the same command goes on", t.File)
	}
	if err != nil {
		return err
	}
	table, err := r.TrialRewards(own)
	if err != nil {
		return err
	}
	stdout.Write(table.Markdown())
	fmt.Fprintln(stdout, "runs:", t.File)
	if drawings == "" {
		return nil
	}
	return table.Save(drawings, "trial-"+b.name)
}

// source is a trace to learn from: that of a file, or the project's own.
func source(ctx context.Context, root, path string, sc scenario.Scenario) (study.Source, error) {
	switch {
	case path != "":
		return study.Collected(path, sc)
	case sc.Name == scenario.Paper().Name:
		return study.Own(ctx, root)
	}
	return study.Virtual(ctx, sc, sc.Collect.Steps, 1)
}

// onTestbed adds the testbed's results to those of the simulator: of the
// committed trial or, where there is none, of a short one on this machine.
func onTestbed(ctx context.Context, root string, r *study.Result) error {
	own := slices.IndexFunc(r.Config.Sources, func(s study.Source) bool { return s.Name == "local" || s.Name == "virtual" })
	if own < 0 {
		return nil // a study of the published trace alone: its testbed is not here
	}
	s := r.Config.Sources[own]
	if s.Name == "local" {
		cells := len(r.Cells)
		if err := r.KeptTrial(root, s, trialSetting); err != nil || len(r.Cells) > cells {
			return err
		}
	}
	code, err := study.Code("lab/testbed/local")
	if err != nil {
		return err
	}
	start := func(ctx context.Context) (testbed.Testbed, error) {
		return local.New(ctx, local.Config{Scenario: s.Scenario})
	}
	live := nb.NewLive()
	defer live.Close()
	t := study.Short(s.Scenario, start, code)
	t.Progress = func(run anr.Run, done, total int) {
		live.Text("short run %d of %d on the local testbed: %s, %s, %s load: ANR %.3f", done, total, run.Policy, run.Objective, run.Pattern, run.ANR())
	}
	return r.CachedTrial(ctx, s, trialSetting, t)
}
