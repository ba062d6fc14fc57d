package study

import (
	"context"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/load"
)

// DefaultCache is the project's cache, .cache/stages.
func DefaultCache() (*Cache, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	code, err := CodeHash()
	if err != nil {
		return nil, err
	}
	return &Cache{Dir: filepath.Join(root, ".cache", "stages"), Code: code}, nil
}

// Main is the project's main study: its traces, the paper's objectives, both
// settings, five seeds, the project's cache.
func Main(ctx context.Context) (Config, error) {
	root, err := Root()
	if err != nil {
		return Config{}, err
	}
	sources, err := Sources(ctx, root)
	if err != nil {
		return Config{}, err
	}
	cache, err := DefaultCache()
	if err != nil {
		return Config{}, err
	}
	return Config{Sources: sources, Cache: cache}.defaults(), nil
}

// Small returns c cut down to what a test needs: the first trace, two seeds,
// one split, a tenth of the training on the paper's four loads, a rough idea of
// the truth.
func (c Config) Small() Config {
	c = c.defaults()
	c.Sources, c.Seeds, c.Splits = c.Sources[:1], 2, 1
	var short []Setting
	for _, s := range c.Settings {
		s = s.Short(.1)
		s.Load = load.Random{Ranges: c.Scenario().Loads} // few loads to tabulate
		short = append(short, s)
	}
	c.Settings = short
	c.Truth = DecompositionConfig{Rows: 1000, Period: 6, Steps: 12, Runs: 2, Truth: TruthConfig{Screen: 4, Refine: 40, Score: 40, Keep: 8}}
	return c
}

// CachedScores are the scores of the first source's model.
func CachedScores(ctx context.Context, c Config) ([]Score, error) {
	c = c.defaults()
	s := c.Sources[0]
	return Do(c.Cache, "scores", append(s.key(), c.Splits), func() ([]Score, error) {
		return Scores(ctx, s, c.Splits)
	})
}
