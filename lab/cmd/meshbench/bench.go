package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/bench"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

func benchCommand(ctx context.Context, args []string) error {
	root, err := study.Root()
	if err != nil {
		return err
	}
	o := newOptions("bench")
	dir := o.folder(root)
	s, help, err := o.parse(args, "bench [options] PYTHON\n\nMeasures the paper's scenario beside the peers, which the interpreter PYTHON has.")
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("bench: name the Python interpreter that has the peers; make bench does")
	}
	if s.Name != scenario.Paper().Name {
		return fmt.Errorf("bench: -scenario %s; accepted: paper", s.Name)
	}
	sources, err := study.Sources(ctx, root)
	if err != nil {
		return err
	}
	cfg := bench.Config{Source: sources[0], Python: o.Arg(0), Script: filepath.Join(root, "lab", "bench", "peers", "peer.py"),
		Log: func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }}
	cases, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	t := figure.Table{Header: []string{"case", "ours", "peer", "ratio", "unit", "cores", "check"}}
	for _, c := range cases {
		t.Rows = append(t.Rows, []string{c.Case, fmt.Sprintf("%.4g", c.Ours), fmt.Sprintf("%.4g", c.Peer), fmt.Sprintf("%.1f", c.Ratio), c.Unit, fmt.Sprint(c.Cores), c.Note})
	}
	stdout.Write(t.Markdown())
	if err := bench.Draw(*dir, cases); err != nil {
		return err
	}
	if err := bench.Write(*dir, cases); err != nil {
		return err
	}
	fits, trainings, err := bench.Sizes(ctx, cfg)
	if err != nil {
		return err
	}
	if err := bench.DrawSizes(*dir, fits, trainings); err != nil {
		return err
	}
	return bench.WriteSizes(*dir, fits, trainings)
}
