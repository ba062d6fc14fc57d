package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/optimum"
)

// The cases, as both sides name them.
const (
	allCores   = "fit on all cores, trace"
	oneRow     = "one-row prediction"
	sameRow    = "one-row prediction, the same trees"
	sameSmall  = "one-row prediction, the same small trees"
	wholeTable = "20,736-row table"
	sameTable  = "20,736-row table, the same trees"
	quantiles  = "95th percentiles of 1,000 rows"
	modelFile  = "model file"
	ppoOne     = "PPO, 1 x 1024"
	ppoEight   = "PPO, 8 x 128"
	smallHead  = "PPO, head of 6"
	wholeHead  = "PPO, head of 1,296"
	anrPaper   = "time to ANR 0.98, four heads of 6"
	search     = "search of the best of 1,296 actions"
	simulation = "virtual testbed"
	generator  = "load generator, 2,000 requests/s"
	front      = "front and nodes, 2,000 requests/s"
)

// kinds are all cases, as they are listed.
func kinds() (list []kind) {
	add := func(unit string, cores int, names ...string) {
		for _, n := range names {
			list = append(list, kind{n, unit, cores})
		}
	}
	all := runtime.NumCPU()
	add("s", 1, fits...)
	add("s", 1, forms...)
	add("s", all, allCores)
	add("s", 1, oneRow, sameRow, sameSmall, wholeTable, sameTable, quantiles)
	add("bytes", 1, modelFile)
	const rate = "steps per CPU-second"
	add(rate, 1, ppoOne, ppoEight, smallHead, wholeHead)
	add("s", 1, anrPaper)
	for _, n := range seeds {
		for _, goal := range goals {
			add("s", min(n, all), anrName(goal, n))
		}
	}
	add("s", 1, search)
	add("requests per CPU-second", 1, simulation)
	add("s", all, generator, front)
	return list
}

func anrName(goal float64, seeds int) string {
	return fmt.Sprintf("time to ANR %g, head of 1,296, seeds: %d", goal, seeds)
}

func anrNames() (names []string) {
	for _, n := range seeds {
		for _, goal := range goals {
			names = append(names, anrName(goal, n))
		}
	}
	return names
}

// processorSeconds is the processor time that f takes.
func processorSeconds(f func() error) (float64, error) {
	now := func() float64 {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return math.NaN()
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	begin := now()
	err := f()
	return now() - begin, err
}

func seconds(f func() error) (float64, error) {
	begin := time.Now()
	err := f()
	return time.Since(begin).Seconds(), err
}

// ours measures this project's side once.
func (d *data) ours(ctx context.Context, seed uint64) (results, error) {
	got := results{}
	for _, part := range []struct {
		cases   []string
		measure func(ctx context.Context, got results, seed uint64) error
	}{
		{append(fits, forms...), d.fits},
		{[]string{allCores, oneRow, sameRow, sameSmall, wholeTable, sameTable, quantiles, modelFile}, d.predictions},
		{append([]string{ppoOne, ppoEight, smallHead, wholeHead}, append(anrNames(), anrPaper)...), d.trainings},
		{[]string{search}, d.search},
		{[]string{simulation}, d.simulate},
		{[]string{generator, front}, d.requests},
	} {
		runtime.GC()
		if !d.cfg.wants(part.cases...) {
			continue
		}
		if err := part.measure(ctx, got, seed); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", part.cases[0], err)
		}
	}
	return got, nil
}

// smallLeaf is the least number of rows in a leaf of trees that a C compiler takes in
// a minute: gcc -O1 took more than three for a single unlimited one.
const smallLeaf = 100

func (d *data) fit(ctx context.Context, s sample, seed uint64, workers int) (*forest.Forest, error) {
	return forest.Fit(ctx, s.x, s.y, forest.Config{Trees: 120, Workers: workers, Seed: seed})
}

func (d *data) fits(ctx context.Context, got results, seed uint64) error {
	for name, s := range d.samples {
		var f *forest.Forest
		t, err := processorSeconds(func() (err error) {
			f, err = d.fit(ctx, s, seed, 1)
			return err
		})
		if err != nil {
			return err
		}
		predicted := f.PredictMatrix(s.testX)
		got[name] = result{t, map[string]float64{"NMAE": mean(forest.NMAE(s.testY, predicted)), "R2": mean(forest.R2(s.testY, predicted))}}
	}
	return nil
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// predictions are those of a forest of the trace, the same in all rounds, which the
// peers then have.
func (d *data) predictions(ctx context.Context, got results, _ uint64) error {
	s := d.samples[fits[0]]
	t, err := seconds(func() (err error) {
		d.forest, err = d.fit(ctx, s, 0, 0)
		return err
	})
	if err != nil {
		return err
	}
	got[allCores] = result{Value: t}
	if d.small, err = forest.Fit(ctx, s.x, s.y, forest.Config{Trees: 120, MinLeaf: smallLeaf}); err != nil {
		return err
	}
	row := func(f *forest.Forest) result {
		dst, taken := make([]float64, len(f.Outputs())), make([]float64, 1000)
		for k := range taken {
			begin := time.Now()
			f.Predict(dst, s.testX.RawRowView(k))
			taken[k] = time.Since(begin).Seconds()
		}
		return result{Value: median.Of(taken)}
	}
	got[oneRow], got[sameSmall] = row(d.forest), row(d.small)
	got[sameRow] = got[oneRow]
	taken := make([]float64, 3)
	for k := range taken {
		if taken[k], err = seconds(func() error { _, err := d.forest.PredictGrid(nil, d.levels); return err }); err != nil {
			return err
		}
	}
	got[wholeTable] = result{Value: median.Of(taken)}
	got[sameTable] = got[wholeTable]
	rows := s.testX.Slice(0, 1000, 0, len(d.levels)).(*mat.Dense)
	var q *mat.Dense
	if t, err = processorSeconds(func() error { q = d.forest.QuantileMatrix(rows, .95); return nil }); err != nil {
		return err
	}
	below := 0.0
	r, c := q.Dims()
	for i := range r {
		for j := range c {
			if s.testY.At(i, j) <= q.At(i, j) {
				below += 1 / float64(r*c)
			}
		}
	}
	got[quantiles] = result{t, map[string]float64{"rows below": below}}
	dir, err := os.MkdirTemp("", "meshbench-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "forest")
	if err := d.forest.Save(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	got[modelFile] = result{Value: float64(info.Size())}
	return nil
}

// search looks for the best actions of all loads, which are known by enumeration.
func (d *data) search(ctx context.Context, got results, seed uint64) error {
	r, err := optimum.NewRewards(d.rewards.Model(), d.rewards.Objective(), optimum.Config{MaxEnumerated: 1, Search: optimum.Search{Seed: seed}})
	if err != nil {
		return err
	}
	found, loads := 0.0, d.loads()
	if err := optimum.Prepare(ctx, loads, d.rewards); err != nil { // outside of what is timed
		return err
	}
	t, err := processorSeconds(func() error {
		for _, l := range loads {
			best, err := r.Best(l)
			if err != nil {
				return err
			}
			known, err := d.rewards.Best(l)
			if err != nil {
				return err
			}
			found += best.Reward / known.Reward / float64(len(loads))
		}
		return nil
	})
	got[search] = result{t / float64(len(loads)), map[string]float64{"of the optimum": found}}
	return err
}
