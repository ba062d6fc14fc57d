package study

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/scenario"
)

// Of is the configuration of a scenario's study: of the paper's its own traces in
// both settings (see Main), of any other a trace of its virtual testbed in
// setting best.
func Of(ctx context.Context, s scenario.Scenario, root string) (Config, error) {
	if s.Name == scenario.Paper().Name {
		sources, err := Sources(ctx, root)
		return Config{Sources: sources}, err
	}
	if err := s.Validate(); err != nil {
		return Config{}, fmt.Errorf("study: %w", err)
	}
	s = s.Defaults()
	v, err := Virtual(ctx, s, s.Collect.Steps, 1)
	if err != nil {
		return Config{}, err
	}
	return Config{Sources: []Source{v}, Settings: []Setting{Best(s)}, Patterns: Patterns(s, 150, 150), Splits: 2}, nil
}

// Folders of figures, tables and results.json, relative to Root: what a run
// draws, and the committed ones, which change only when they are named.
const (
	DrawnDir     = ".out/figures"
	ReferenceDir = "figures"
)

// Figures is the folder of a scenario's figures in dir.
func Figures(dir string, s scenario.Scenario) string {
	if s.Name == scenario.Paper().Name {
		return dir
	}
	return filepath.Join(dir, s.Name)
}
