package study

import (
	"context"
	"fmt"

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

// Figures is the folder of a scenario's results, below the project's root.
func Figures(s scenario.Scenario) string {
	if s.Name == scenario.Paper().Name {
		return "figures"
	}
	return "figures/" + s.Name
}
