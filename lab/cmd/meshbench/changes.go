package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
)

// list is an option that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// changes is the command that lets changes happen to a mesh.
func changes(ctx context.Context, args []string) error {
	flags := newOptions("changes")
	root, err := study.Root()
	if err != nil {
		return err
	}
	var b bed
	b.register(flags.FlagSet)
	var given list
	flags.Var(&given, "change", "`CHANGE` that happens, such as slow:node=1,factor=2,at=60; several that happen in the same runs with spaces between them; again for another kind of run (default the scenario's)")
	runs := flags.Int("runs", 20, "runs of each change and adaptation")
	steps := flags.Int("steps", 220, "steps of a run")
	quiet := flags.Int("quiet", 0, "runs without a change, to count false alarms")
	beds := flags.Int("beds", 1, "testbeds at a time")
	adaptations := flags.String("adaptations", "", "`NAMES` of what is done, with commas between (default all: none, rollout, retrain, transfer, oracle)")
	file := flags.String("file", "", "`FILE` to keep the runs in and to go on from (default .out/changes-SCENARIO-TESTBED.jsonl)")
	calibrate := flags.Int("calibrate", 0, "steps without a change on the testbed to calibrate the monitor with (default that of the virtual testbed)")
	sc, help, err := flags.parse(args, "changes [options]\n\nLets changes happen to a mesh under a policy that was learned before them, does\nabout them what each adaptation does, and says what that was worth. The figure and\nthe table are drawn from the runs by meshbench figure -scenario NAME changes.")
	if help || err != nil {
		return err
	}
	if b.name == "" {
		b.name = "virtual"
	}
	if err := b.check(sc); err != nil {
		return fmt.Errorf("changes: %w", err)
	}
	if err := flags.check(count{"runs", *runs, 1, maxRuns}, count{"steps", *steps, 1, maxSteps}, count{"beds", *beds, 1, maxBeds},
		count{"quiet", *quiet, 0, maxRuns}, count{"calibrate", *calibrate, 0, maxSteps}); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("changes: %q: only options are accepted; meshbench changes -help lists them", flags.Arg(0))
	case *beds > 1 && b.name != "virtual" && b.name != "local":
		return fmt.Errorf("changes: -beds %d; accepted for %s: 1, for there is one mesh", *beds, b.name)
	}
	for _, text := range given {
		if _, err := change.ParseAll(strings.Fields(text), sc.Mesh.Layout()); err != nil {
			return fmt.Errorf("changes: %w", err)
		}
	}
	start := func(ctx context.Context) (testbed.Changeable, error) {
		t, err := b.start(ctx, sc)
		if err != nil {
			return nil, err
		}
		c, ok := t.(testbed.Changeable)
		if !ok {
			return nil, errors.Join(fmt.Errorf("changes: testbed %s cannot be changed; accepted: virtual, local, istio", b.name), t.Close())
		}
		return c, nil
	}
	cfg, end, err := prepare(study.Config{})
	if err != nil {
		return err
	}
	c, err := study.NewChanged(ctx, cfg, sc)
	end()
	if err != nil {
		return interrupted(err)
	}
	if *calibrate > 0 {
		t, err := start(ctx)
		if err != nil {
			return err
		}
		err = c.Calibrate(ctx, t, 1, *calibrate)
		if e := t.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(stdout, "monitor:", c.Monitor.Describe())
	t := study.ChangeTrial{Start: start, Changes: given, Runs: *runs, Steps: *steps, Quiet: *quiet, Beds: *beds, File: *file}
	if t.File == "" {
		t.File = filepath.Join(root, study.ChangeFile(sc, b.name))
	}
	if *adaptations != "" {
		for _, name := range strings.Split(*adaptations, ",") {
			t.Adaptations = append(t.Adaptations, study.Adaptation(name))
		}
	}
	live := nb.NewLive()
	t.Progress = func(r study.ChangeRun, done, total int) {
		live.Text("run %d of %d: %s, %s: alarms at %v, change at %d", done, total, r.Change, r.Adaptation, r.Alarms, r.Begins)
	}
	out, err := c.Trial(ctx, t)
	live.Close()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: whole runs are in %s; the same command goes on", t.File)
	}
	if err != nil {
		return err
	}
	table := study.ChangeTable(study.ChangeCells(out, study.Adaptations()))
	stdout.Write(table.Markdown())
	fmt.Fprintln(stdout, study.ChangeSummary(out))
	fmt.Fprintln(stdout, "runs:", t.File)
	return nil
}
