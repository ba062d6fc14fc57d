package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/meshbench/meshbench/lab/bench"
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
	only := o.String("only", "", "measure cases whose names have one of these `PARTS`, separated by commas, in the place of those that bench.json has")
	sizes := o.Bool("sizes", false, "measure nothing but cost against size")
	rounds := o.Int("rounds", 5, "alternations")
	s, help, err := o.parse(args, "bench [options] FOLDER\n\nMeasures the paper's scenario beside the peers, which `make bench` puts into FOLDER.")
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("bench: name the folder that has the peers; make bench does")
	}
	if *sizes && *only != "" {
		return errors.New("bench: -only and -sizes; accepted: one of them")
	}
	if *rounds < 1 || *rounds > 100 {
		return fmt.Errorf("bench: -rounds %d; accepted: 1 to 100", *rounds)
	}
	if s.Name != scenario.Paper().Name {
		return fmt.Errorf("bench: -scenario %s; accepted: paper", s.Name)
	}
	sources, err := study.Sources(ctx, root)
	if err != nil {
		return err
	}
	cfg := bench.Config{Source: sources[0], Tools: o.Arg(0), Peers: filepath.Join(root, "lab", "bench", "peers"), Rounds: *rounds,
		Log: func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }}
	if *only != "" {
		cfg.Only = strings.Split(*only, ",")
	}
	if !*sizes {
		if err := renew(ctx, cfg, *dir); err != nil || cfg.Only != nil {
			return err
		}
	}
	curves, err := bench.Curves(ctx, cfg)
	if err != nil {
		return err
	}
	if err := bench.DrawCurves(*dir, curves); err != nil {
		return err
	}
	return bench.WriteCurves(*dir, curves)
}

// renew measures cases and writes them beside those of dir that were not measured.
func renew(ctx context.Context, cfg bench.Config, dir string) error {
	before, err := bench.Read(dir)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	stdout.Write(report.Table().Markdown())
	report = before.Renewed(cfg, report)
	if err := report.Draw(dir); err != nil {
		return err
	}
	return report.Write(dir)
}
