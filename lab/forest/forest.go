package forest

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"
)

const (
	maxFeatures   = 255     // a node keeps its feature in 8 bits
	maxThresholds = 1 << 24 // and the rank of its threshold in 24
	maxTarget     = 1e150   // squares of targets must not overflow
)

// Config holds the settings of Fit. The zero value grows the forest that
// scikit-learn's RandomForestRegressor grows by default.
type Config struct {
	// Trees is the number of trees. If Trees is 0, it will be defaulted to 100.
	Trees int
	// MaxFeatures is the number of features, drawn at random among those that
	// vary in a node, that its split may use. If MaxFeatures is 0, all are used.
	MaxFeatures int
	// MinLeaf is the smallest number of distinct training rows in a leaf. If
	// MinLeaf is 0, it will be defaulted to 1.
	MinLeaf int
	// MaxDepth is the largest depth of a leaf; the root has depth 0. If
	// MaxDepth is 0, depth is not limited.
	MaxDepth int
	// RandomSplits draws one threshold at random for every feature of a split
	// and takes the best of them, rather than the best of all thresholds:
	// extremely randomised trees, smoother and less noisy.
	RandomSplits bool
	// NoBootstrap grows every tree on all rows instead of on as many rows
	// drawn with replacement.
	NoBootstrap bool
	// Seed seeds every random draw. The same seed gives the same forest
	// whatever the number of workers.
	Seed uint64
	// Workers is the number of trees grown at a time. If Workers is 0, it will
	// be defaulted to the number of usable cores.
	Workers int `json:"-"`
	// FeatureNames and OutputNames name the columns of x and y. If nil, they
	// will be defaulted to x0, x1, ... and y0, y1, ...
	FeatureNames, OutputNames []string
	// Progress, if set, is called after each tree with the number of trees
	// grown and wanted. Calls do not overlap.
	Progress func(done, total int) `json:"-"`
}

// withDefaults returns c with defaults filled in for the given numbers of
// features and outputs, or an error that names the first field out of range.
func (c Config) withDefaults(features, outputs int) (Config, error) {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Trees", c.Trees}, {"MaxFeatures", c.MaxFeatures}, {"MinLeaf", c.MinLeaf},
		{"MaxDepth", c.MaxDepth}, {"Workers", c.Workers},
	} {
		if f.value < 0 {
			return c, fmt.Errorf("forest: Config.%s is %d; it must be 0 (default) or positive", f.name, f.value)
		}
	}
	if c.MaxFeatures > features {
		return c, fmt.Errorf("forest: Config.MaxFeatures is %d, but x has %d features", c.MaxFeatures, features)
	}
	if c.Trees == 0 {
		c.Trees = 100
	}
	if c.MaxFeatures == 0 {
		c.MaxFeatures = features
	}
	if c.MinLeaf == 0 {
		c.MinLeaf = 1
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	var err error
	if c.FeatureNames, err = names(c.FeatureNames, "FeatureNames", "x", features); err != nil {
		return c, err
	}
	c.OutputNames, err = names(c.OutputNames, "OutputNames", "y", outputs)
	return c, err
}

// names returns a copy of given, or defaults made of a prefix and a number.
func names(given []string, field, prefix string, n int) ([]string, error) {
	if given == nil {
		given = make([]string, n)
		for i := range given {
			given[i] = fmt.Sprint(prefix, i)
		}
		return given, nil
	}
	if len(given) != n {
		return nil, fmt.Errorf("forest: Config.%s has %d names, but %s has %d columns", field, len(given), prefix, n)
	}
	return append([]string(nil), given...), nil
}

// Forest is a fitted random forest. It keeps its training data, which
// quantiles, leaf samples and out-of-bag predictions need. A Forest is
// immutable but for Meta, and safe for concurrent use.
type Forest struct {
	// Meta is free text that is saved with the forest, such as the hash of the
	// trace that it was fitted to.
	Meta map[string]string

	cfg  Config
	data *training
	// cuts[f] are the distinct thresholds of feature f in ascending order.
	cuts  [][]float64
	trees [][]node
	// values holds the outputs of leaf values, K each: first those of every
	// training row (the value of a leaf with one row), then the weighted means
	// of shared leaves, which hold several rows.
	values []float64
	shared leaves
	// transformed forests have values that are not means of their targets.
	transformed bool
}

// leaves lists the training rows of shared leaves: those of leaf i are
// row[start[i]:start[i+1]], in ascending order, each with its bootstrap count.
type leaves struct {
	start []int
	row   []uint32
	count []uint32
}

// Fit grows a forest on x (rows x features) and y (rows x outputs). All values
// must be finite; an error names the first that is not. Fit stops early with
// the context's error when ctx is cancelled.
func Fit(ctx context.Context, x, y *mat.Dense, cfg Config) (*Forest, error) {
	data, err := newTraining(x, y)
	if err != nil {
		return nil, err
	}
	if cfg, err = cfg.withDefaults(data.features, data.outputs); err != nil {
		return nil, err
	}
	f := &Forest{cfg: cfg, data: data, Meta: map[string]string{}}
	sums := newTargets(data, cfg)
	err = f.build(ctx, cfg.Workers, cfg.Progress, func(b *builder) func(tree int) error {
		g := newGrower(b, cfg, sums)
		return func(tree int) error { return g.grow(ctx, tree) }
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// build makes all trees, in parallel, and joins them into the forest. For each
// worker, start returns the function that fills the worker's builder with one
// tree; the builder holds that tree's bootstrap sample by then.
func (f *Forest) build(ctx context.Context, workers int, progress func(done, total int), start func(*builder) func(tree int) error) error {
	total := f.cfg.Trees
	built := make([]builtTree, total)
	var (
		next     atomic.Int64
		wg       sync.WaitGroup
		mu       sync.Mutex
		done     int
		firstErr error
	)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range min(workers, total) {
		wg.Go(func() {
			b := newBuilder(f.data)
			fill := start(b)
			for {
				tree := int(next.Add(1)) - 1
				if tree >= total || ctx.Err() != nil {
					return
				}
				b.reset(bootstrap(f.cfg, f.data.rows, tree, b.count))
				if err := fill(tree); err != nil {
					mu.Lock()
					if firstErr == nil {
						firstErr = err
					}
					mu.Unlock()
					cancel(err)
					return
				}
				built[tree] = b.finish()
				mu.Lock()
				done++
				if progress != nil {
					progress(done, total)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if firstErr != nil {
		return firstErr
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("forest: stopped after %d of %d trees: %w", done, total, err)
	}
	return f.join(built)
}

// Features returns the names of the input columns.
func (f *Forest) Features() []string { return append([]string(nil), f.cfg.FeatureNames...) }

// Outputs returns the names of the output columns.
func (f *Forest) Outputs() []string { return append([]string(nil), f.cfg.OutputNames...) }

// Config returns the settings that the forest was grown with, defaults filled
// in. Workers and Progress are not kept in a file.
func (f *Forest) Config() Config { return f.cfg }

// Rows returns the number of training rows.
func (f *Forest) Rows() int { return f.data.rows }

// Trees returns the number of trees.
func (f *Forest) Trees() int { return len(f.trees) }

// Nodes returns the number of nodes, leaves included, of all trees.
func (f *Forest) Nodes() int {
	n := 0
	for _, t := range f.trees {
		n += len(t)
	}
	return n
}

// Levels returns the distinct values of each feature in the training data, in
// ascending order.
func (f *Forest) Levels() [][]float64 {
	out := make([][]float64, len(f.data.levels))
	for i, l := range f.data.levels {
		out[i] = append([]float64(nil), l...)
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
