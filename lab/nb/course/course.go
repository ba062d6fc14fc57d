// Package course is what the notebooks share: the studies that they look at, kept
// in the project's cache, their size when they are only tested, and what is shown
// in more than one of them.
package course

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/local"
)

// Size is full, or small when a notebook is only tested.
func Size[T any](full, small T) T {
	if nb.Small() {
		return small
	}
	return full
}

// Short cuts a setting when a notebook is only tested.
func Short(set study.Setting) study.Setting {
	return Size(set, set.Short(.1))
}

// Work is the study of one trace.
type Work struct {
	*study.Study
	Config study.Config
	Source study.Source
}

// First is the study of a scenario's first trace: of the paper's the published one
// where it is here, else the project's own; of any other one of its virtual testbed.
func First(s scenario.Scenario) Work { return of(s, 0) }

// Own is the study of the project's own trace, which is the last.
func Own(s scenario.Scenario) Work { return of(s, -1) }

func of(s scenario.Scenario, k int) Work {
	cfg := All(s)
	if k < 0 {
		k = len(cfg.Sources) - 1
	}
	cfg.Sources = cfg.Sources[k : k+1]
	return Work{cfg.Of(context.Background(), cfg.Sources[0]), cfg, cfg.Sources[0]}
}

// All is the configuration of a scenario's whole study.
func All(s scenario.Scenario) study.Config {
	cfg := nb.Must(study.Of(context.Background(), s, nb.Must(study.Root())))
	cfg.Cache = nb.Must(study.DefaultCache())
	return cfg
}

// Run runs a study and shows how far it is.
func Run(cfg study.Config) *study.Result {
	report, end := nb.Progress()
	defer end()
	cfg.Progress = report
	return nb.Must(study.Run(context.Background(), cfg))
}

// Local starts the local testbed of a scenario.
func Local(s scenario.Scenario) func(context.Context) (testbed.Testbed, error) {
	return func(ctx context.Context) (testbed.Testbed, error) { return local.New(ctx, local.Config{Scenario: s}) }
}

// Curve is a learning curve as a line, steps in thousands.
func Curve(name string, points []learner.Point) figure.Series {
	line := figure.Series{Name: name}
	for _, p := range points {
		line.X, line.Y = append(line.X, float64(p.Steps)/1000), append(line.Y, p.Score)
	}
	return line
}

// Table shows a table.
func Table(t figure.Table) { nb.Table(t.Header, t.Rows) }

// Draw draws in place what needs no more than need says, but for what takes
// minutes.
func Draw(r *study.Result, need study.Needs) {
	for _, d := range study.Drawings(r.Config.Scenario()) {
		if d.Needs == need && !d.Long {
			draw(r, d)
		}
	}
}

func draw(r *study.Result, d study.Drawing) {
	dir := nb.Must(os.MkdirTemp("", "figures-"))
	defer os.RemoveAll(dir)
	wrote, err := r.Draw(context.Background(), dir, d.Name)
	if errors.Is(err, study.ErrNoData) {
		return
	}
	nb.Check(err)
	nb.Markdown("### " + d.Title)
	for _, name := range wrote {
		file(filepath.Join(dir, name))
	}
}

// file shows a figure or, where there is none, a table, by its path without
// extension.
func file(path string) {
	if _, err := os.Stat(path + ".svg"); err == nil {
		nb.Check(nb.SVGFile(path + ".svg"))
		return
	}
	nb.Check(nb.TableFile(path + ".csv"))
}

// Drawn shows what was drawn under a name for every trace: the last run's or, where
// there is none, the committed ones.
func Drawn(s scenario.Scenario, name string) {
	if _, err := study.Chosen(s, []string{name}); err != nil {
		fmt.Println(err)
		return
	}
	root := nb.Must(study.Root())
	for _, dir := range []string{study.DrawnDir, study.ReferenceDir} {
		if show(filepath.Join(root, study.Figures(dir, s)), name) {
			return
		}
	}
	nb.Markdown("Not drawn yet: " + name + ".")
}

// Made draws it anew and shows it.
func Made(r *study.Result, name string) {
	dir := nb.Must(os.MkdirTemp("", "figures-"))
	defer os.RemoveAll(dir)
	nb.Must(r.Draw(context.Background(), dir, name))
	show(dir, name)
}

func show(dir, name string) bool {
	figures := nb.Must(filepath.Glob(filepath.Join(dir, name+"*.svg")))
	for _, path := range figures {
		nb.Check(nb.SVGFile(path))
	}
	tables := nb.Must(filepath.Glob(filepath.Join(dir, name+"*.csv")))
	for _, path := range tables {
		fmt.Println(filepath.Base(path))
		nb.Check(nb.TableFile(path))
	}
	return len(figures)+len(tables) > 0
}
