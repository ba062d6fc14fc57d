package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/trace"
)

func figureCommand(ctx context.Context, args []string) error {
	root, err := study.Root()
	if err != nil {
		return err
	}
	o := newOptions("figure")
	dir := o.folder(root)
	s, help, err := o.parse(args, "figure [options] all|NAME...\n\nRuns the study where it is not cached and writes figures and tables.")
	if help || err != nil {
		return err
	}
	names := o.Args()
	if len(names) == 0 {
		return errors.New("figure: name a figure or table, or all; meshbench -help lists them")
	}
	if names[0] == "all" {
		names = nil
	}
	if _, err := study.Chosen(s, names); err != nil {
		return err
	}
	if err := regular.Folder(*dir); err != nil {
		return fmt.Errorf("figure: -o: %w", err)
	}
	cfg, err := study.Of(ctx, s, root)
	if err != nil {
		return err
	}
	return figures(ctx, root, study.Figures(*dir, s), cfg, names)
}

// figures runs the study and draws the named figures, all when there are none.
func figures(ctx context.Context, root, dir string, cfg study.Config, names []string) error {
	cfg, end, err := prepare(cfg)
	if err != nil {
		return err
	}
	defer end()
	list, err := study.Chosen(cfg.Scenario(), names)
	if err != nil {
		return err
	}
	r := study.New(cfg)
	need := study.Need(list)
	if need >= study.NeedsRun {
		// What needs no policy can be looked at while they are trained.
		var first []string
		for _, d := range list {
			if d.Needs == study.NeedsScenario {
				first = append(first, d.Name)
			}
		}
		if len(first) > 0 {
			if _, err := r.Draw(ctx, dir, first...); err != nil {
				return interrupted(err)
			}
			fmt.Fprintf(stdout, "%s: %s; training goes on\n", dir, strings.Join(first, ", "))
		}
		if r, err = runAll(ctx, root, cfg, need); err != nil {
			return interrupted(err)
		}
	}
	wrote, err := r.Draw(ctx, dir, names...)
	if err != nil {
		return interrupted(err)
	}
	if len(names) == 0 {
		if err := r.WriteResults(dir); err != nil {
			return err
		}
		wrote = append(wrote, "results.json")
		if err := summary(r); err != nil {
			return err
		}
	}
	for _, t := range r.Times {
		fmt.Fprintf(stdout, "%6.1f s  %s\n", t.Seconds, t.Stage)
	}
	fmt.Fprintf(stdout, "%s: %s\n", dir, strings.Join(wrote, ", "))
	return nil
}

// isPaper says whether a study is the paper's.
func isPaper(cfg study.Config) bool { return cfg.Scenario().Name == scenario.Paper().Name }

// runAll runs a study with what its drawings need.
func runAll(ctx context.Context, root string, cfg study.Config, need study.Needs) (*study.Result, error) {
	r, err := study.Run(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Scenario().MustSpace().Slow() {
		return r, nil
	}
	if !isPaper(cfg) {
		return r, r.Timed("true rewards", func() error { return r.True(ctx, cfg.Sources[0], study.TrueConfig{}) })
	}
	if need == study.NeedsTrial {
		return r, onTestbed(ctx, root, r)
	}
	return r, nil
}

// summary prints the table that says most.
func summary(r *study.Result) error {
	s := r.Config.Sources[0]
	if isPaper(r.Config) {
		stdout.Write(r.Table2(s.Name).Markdown())
		return nil
	}
	if s.Scenario.MustSpace().Slow() {
		t, err := r.RewardTable(s)
		if err == nil {
			stdout.Write(t.Markdown())
		}
		return err
	}
	t, err := r.ANRTable(s)
	if err != nil {
		return err
	}
	stdout.Write(t.Markdown())
	if t, err = r.TrueTable(s); err == nil {
		fmt.Fprintln(stdout)
		stdout.Write(t.Markdown())
	}
	return nil
}

// interrupted says what is kept of work that a signal ended.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted: stages that were done are in the cache; the same command goes on")
	}
	return err
}

// studyCommand runs a study in the simulator: of the paper on the first trace and
// in the paper's setting. It runs from nothing, the cache left aside: the times
// that it says are what a study costs.
func studyCommand(ctx context.Context, args []string) error {
	o := newOptions("study")
	s, help, err := o.parse(args, "study [options]\n\nRuns the study in the simulator from nothing, into .out/study.")
	if help || err != nil {
		return err
	}
	if o.NArg() > 0 {
		return fmt.Errorf("study: %q: no argument is accepted", o.Arg(0))
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	begin := time.Now()
	cfg, err := study.Of(ctx, s, root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, ".out", "study")
	if isPaper(cfg) {
		cfg.Sources = cfg.Sources[:1]
		cfg.Settings = []study.Setting{study.Paper(s)}
	} else {
		dir = filepath.Join(dir, s.Name)
	}
	empty, err := os.MkdirTemp("", "meshbench-study-")
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	defer os.RemoveAll(empty)
	if cfg.Cache, err = study.DefaultCache(); err != nil {
		return err
	}
	cfg.Cache.Dir = empty
	collected := time.Since(begin)
	cfg, end, err := prepare(cfg)
	if err != nil {
		return err
	}
	defer end()
	r, err := runAll(ctx, root, cfg, study.NeedsRun)
	if errors.Is(err, context.Canceled) {
		return errors.New("study: interrupted; nothing was kept")
	}
	if err != nil {
		return err
	}
	r.Times = append([]study.Timing{{Stage: "trace", Seconds: collected.Seconds()}}, r.Times...)
	drawing := time.Now()
	if _, err := r.Draw(ctx, dir); err != nil {
		return err
	}
	r.Times = append(r.Times, study.Timing{Stage: "figures and tables", Seconds: time.Since(drawing).Seconds()},
		study.Timing{Stage: "whole study", Seconds: time.Since(begin).Seconds()})
	if err := r.WriteResults(dir); err != nil {
		return err
	}
	if err := summary(r); err != nil {
		return err
	}
	for _, t := range r.Times {
		fmt.Fprintf(stdout, "%6.1f s  %s\n", t.Seconds, t.Stage)
	}
	fmt.Fprintln(stdout, "figures, tables and results.json:", dir)
	return nil
}

func kthCommand(ctx context.Context, args []string) error {
	root, err := study.Root()
	if err != nil {
		return err
	}
	o := newOptions("kth")
	dir := o.folder(root)
	s, help, err := o.parse(args, "kth [options] FILE\n\nAudits the published trace and runs the paper's study on it.")
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("kth: name the file of the published trace, data_CNSM_2022.csv")
	}
	if err := regular.Folder(*dir); err != nil {
		return fmt.Errorf("kth: -o: %w", err)
	}
	if s.Name != scenario.Paper().Name {
		return fmt.Errorf("kth: -scenario %s; accepted: paper, which the published trace is of", s.Name)
	}
	sources, err := study.Published(o.Arg(0))
	if err != nil {
		return err
	}
	audit(sources[0].Trace)
	return figures(ctx, root, study.Figures(*dir, s), study.Config{Sources: sources}, nil)
}

func auditCommand(_ context.Context, args []string) error {
	o := newOptions("audit")
	s, help, err := o.parse(args, "audit [options] FILE\n\nAudits a trace: of any scenario, or of the one that is named.")
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("audit: name the trace's file")
	}
	var read trace.ReadOptions
	o.Visit(func(f *flag.Flag) {
		if f.Name == "scenario" {
			read.Space = s.MustSpace()
		}
	})
	t, err := trace.Read(o.Arg(0), read)
	if err != nil {
		return err
	}
	audit(t)
	return nil
}

func audit(t *trace.Table) {
	findings := trace.Audit(t)
	fmt.Fprintf(stdout, "%d rows of %s, %d findings\n", t.Len(), t.Mesh(), len(findings))
	for _, f := range findings {
		fmt.Fprintf(stdout, "- %s: %s\n", f.Title, f.Detail)
	}
}

// prepare gives cfg a display of its progress, which end ends, and the
// project's cache where it has none.
func prepare(cfg study.Config) (_ study.Config, end func(), err error) {
	if cfg.Cache == nil {
		if cfg.Cache, err = study.DefaultCache(); err != nil {
			return cfg, nil, err
		}
	}
	cfg.Cache.Warn = func(err error) { fmt.Fprintln(os.Stderr, "meshbench: warning:", err) }
	cfg.Progress, end = nb.Progress()
	return cfg, end, nil
}
