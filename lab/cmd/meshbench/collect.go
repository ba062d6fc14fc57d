package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/trace"
)

// collect is the command that collects a trace.
func collect(ctx context.Context, args []string) error {
	flags := newOptions("collect")
	var b bed
	b.register(flags.FlagSet)
	steps := flags.Int("steps", 0, "steps of the whole trace (default the scenario's)")
	seed := flags.Uint64("seed", 1, "of loads, actions and requests")
	pattern := flags.String("load", "random", "offered load: "+strings.Join(load.Names(), ", "))
	actions := flags.String("actions", testbed.RandomActions, "random or grid")
	reference := flags.Int("reference", 100, "steps between two repeats of the reference cell; -1 for none")
	sc, help, err := flags.parse(args, "collect [options] FILE.csv\n\nCollects a trace, or goes on with one that was interrupted.")
	if help || err != nil {
		return err
	}
	asked := false
	flags.Visit(func(f *flag.Flag) { asked = asked || f.Name == "steps" })
	if !asked {
		*steps = sc.Collect.Steps
	}
	if flags.NArg() != 1 {
		return errors.New("collect: name the trace's file, one; meshbench collect -help lists the options")
	}
	if err := flags.check(count{"steps", *steps, 1, maxSteps}); err != nil {
		return err
	}
	if *reference == 0 {
		return errors.New("collect: -reference 0; accepted: 1 or more, -1 for none")
	}
	if err := b.check(sc); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	c := testbed.Collection{Scenario: sc, Steps: *steps, Actions: *actions, Seed: *seed, Reference: *reference}
	if c.Load, err = load.Parse(*pattern, sc.Loads); err != nil {
		return err
	}
	return b.hold(ctx, sc, "collect", func(ctx context.Context) error { return collectInto(ctx, &b, sc, flags.Arg(0), c) })
}

// collectInto collects a trace into a file.
func collectInto(ctx context.Context, b *bed, sc scenario.Scenario, path string, c testbed.Collection) error {
	bed, err := b.start(ctx, sc)
	if err != nil {
		return err
	}
	defer bed.Close()
	live := nb.NewLive()
	defer live.Close()
	begin, first := time.Now(), -1
	c.Progress = func(row trace.Row) {
		if first < 0 {
			first = row.Step
		}
		left := time.Duration(float64(time.Since(begin)) / float64(row.Step-first+1) * float64(c.Steps-row.Step-1))
		live.Text("%s (%s left of %d steps)", testbed.Describe(sc.Mesh, row), left.Round(time.Second), c.Steps)
	}
	rows, err := testbed.CollectFile(ctx, bed, path, c)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %s has %d of %d steps; the same command goes on", path, rows, c.Steps)
	}
	if err != nil {
		return err
	}
	note := ""
	if l, ok := bed.(interface{ Repeated() int }); ok && l.Repeated() > 0 {
		note = fmt.Sprintf("; the generator was late in %d, which were made again", l.Repeated())
	}
	live.Text("%s: %d steps%s", path, rows, note)
	if l, ok := bed.(interface{ Failures() map[string]int }); ok {
		printCounts("requests failed", l.Failures())
	}
	if l, ok := bed.(interface{ Unmeasured() map[string]int }); ok {
		printCounts("steps lack values of the platform", l.Unmeasured())
	}
	return nil
}

// printCounts lists how often something happened by why, the most frequent first.
func printCounts(what string, counts map[string]int) {
	kinds := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(kinds, func(a, b string) int { return counts[b] - counts[a] })
	for _, why := range kinds {
		fmt.Fprintf(stdout, "%d %s: %s\n", counts[why], what, why)
	}
}
