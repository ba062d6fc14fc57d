// Command meshbench runs the study from a shell: figures and tables, and the
// audit of a trace. Notebooks call the same packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/meshbench/meshbench/lab/bench"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/trace"
)

const usage = `usage: meshbench COMMAND

  figure all|NAME...   run the study where it is not cached, and write figures
                       (fig1 to fig8, importance, predicted, policies),
                       tables (table2, trial, times) and results.json into
                       figures/. Only when named, since they take minutes:
                       models (system models compared), benchmark (how much a
                       score on the trace means), ablation (setting best, one
                       option less at a time) and decomposition (where the loss
                       to the true optimum comes from)
  study                run the simulator study of the first trace, in the
                       paper's setting, from nothing and leaving the cache
                       aside, into .out/study, with the time of each stage
  kth FILE             audit the published trace and run the study on it
  collect FILE         collect a trace on a testbed, or go on with it;
                       collect -help lists the options
  audit FILE           audit a trace
  evaluate             evaluate policies on a testbed beside the baselines;
                       evaluate -help lists the options
  bench PYTHON         measure beside scikit-learn and Stable-Baselines3, which
                       the interpreter PYTHON has, into figures/bench.json
                       and bench-size.json, and draw both
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "meshbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("meshbench", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("no command\n" + usage)
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	command, rest := flags.Arg(0), flags.Args()[1:]
	switch command {
	case "figure":
		if len(rest) == 0 {
			return errors.New("figure: name a figure, or all\n" + usage)
		}
		if rest[0] == "all" {
			rest = nil
		}
		if err := study.CheckDrawings(rest); err != nil {
			return err
		}
		sources, err := study.Sources(ctx, root)
		if err != nil {
			return err
		}
		return figures(ctx, root, sources, rest)
	case "study":
		if len(rest) > 0 {
			return fmt.Errorf("study: %q: no argument is accepted", rest[0])
		}
		return wholeStudy(ctx, root)
	case "kth":
		if len(rest) != 1 {
			return errors.New("kth: name the file of the published trace, data_CNSM_2022.csv")
		}
		sources, err := study.Published(rest[0])
		if err != nil {
			return err
		}
		audit(sources[0].Trace)
		return figures(ctx, root, sources, nil)
	case "audit":
		if len(rest) != 1 {
			return errors.New("audit: name the trace's file")
		}
		t, err := trace.Read(rest[0], trace.ReadOptions{})
		if err != nil {
			return err
		}
		audit(t)
		return nil
	case "collect":
		return collect(ctx, rest)
	case "evaluate":
		return evaluate(ctx, root, rest)
	}
	if command == "bench" {
		if len(rest) != 1 {
			return errors.New("bench: name the Python interpreter that has the peers; make bench does")
		}
		return benchmark(ctx, root, rest[0])
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

// figures runs the study and draws the named figures, all when there are none.
func figures(ctx context.Context, root string, sources []study.Source, names []string) error {
	cfg, end, err := prepare(study.Config{Sources: sources})
	if err != nil {
		return err
	}
	defer end()
	r := study.New(cfg)
	if study.NeedsRun(names) {
		if r, err = study.Run(ctx, cfg); err != nil {
			return err
		}
	}
	if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return n == "fig7" || n == "table2" || n == "trial" }) {
		if err := onTestbed(ctx, root, r); err != nil {
			return err
		}
	}
	dir := filepath.Join(root, "figures")
	wrote, err := r.Draw(ctx, dir, names...)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if err := r.WriteResults(dir); err != nil {
			return err
		}
		wrote = append(wrote, "results.json")
		os.Stdout.Write(r.Table2(sources[0].Name).Markdown())
	}
	for _, t := range r.Times {
		fmt.Printf("%6.1f s  %s\n", t.Seconds, t.Stage)
	}
	fmt.Printf("figures/: %s\n", strings.Join(wrote, ", "))
	return nil
}

// runStudy runs the study, or takes from the cache what is there; without one
// in cfg, from the project's.
func runStudy(ctx context.Context, cfg study.Config) (*study.Result, error) {
	cfg, end, err := prepare(cfg)
	if err != nil {
		return nil, err
	}
	defer end()
	return study.Run(ctx, cfg)
}

// prepare gives cfg a display of its progress, which end ends, and the
// project's cache where it has none.
func prepare(cfg study.Config) (_ study.Config, end func(), err error) {
	if cfg.Cache == nil {
		if cfg.Cache, err = study.DefaultCache(); err != nil {
			return cfg, nil, err
		}
	}
	cfg.Progress, end = nb.Progress()
	return cfg, end, nil
}

func benchmark(ctx context.Context, root, python string) error {
	sources, err := study.Sources(ctx, root)
	if err != nil {
		return err
	}
	cfg := bench.Config{Source: sources[0], Python: python, Script: filepath.Join(root, "lab", "bench", "peers", "peer.py"),
		Log: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }}
	cases, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	t := figure.Table{Header: []string{"case", "ours", "peer", "ratio", "unit", "cores", "check"}}
	for _, c := range cases {
		t.Rows = append(t.Rows, []string{c.Case, fmt.Sprintf("%.4g", c.Ours), fmt.Sprintf("%.4g", c.Peer), fmt.Sprintf("%.1f", c.Ratio), c.Unit, fmt.Sprint(c.Cores), c.Note})
	}
	os.Stdout.Write(t.Markdown())
	dir := filepath.Join(root, "figures")
	if err := bench.Draw(dir, cases); err != nil {
		return err
	}
	if err := bench.Write(dir, cases); err != nil {
		return err
	}
	fits, trainings, err := bench.Sizes(ctx, cfg)
	if err != nil {
		return err
	}
	if err := bench.DrawSizes(dir, fits, trainings); err != nil {
		return err
	}
	return bench.WriteSizes(dir, fits, trainings)
}

func audit(t *trace.Table) {
	findings := trace.Audit(t)
	fmt.Printf("%d rows of %s, %d findings\n", t.Len(), t.Mesh(), len(findings))
	for _, f := range findings {
		fmt.Printf("- %s: %s\n", f.Title, f.Detail)
	}
}
