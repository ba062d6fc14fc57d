package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Size is the cost of one size of a problem, measured once on each side. The
// peer's figures are 0 where it was not measured.
type Size struct {
	Size      int     `json:"size"` // rows, or environments
	Ours      float64 `json:"ours"` // s, or steps per CPU-second
	Peer      float64 `json:"peer,omitempty"`
	OursBytes float64 `json:"ours_bytes"` // growth of the heap, at its peak
	PeerBytes float64 `json:"peer_bytes,omitempty"`
}

// sizes are what the costs are measured at. The peer's fit of the largest
// takes minutes, and is left out.
var (
	fitSizes     = []int{10_000, 40_000, 160_000, 640_000}
	largestPeer  = 160_000
	environments = []int{1, 2, 4, 8}
)

// resample draws the rows of the fits, with replacement, as numbers of training
// rows: the first n of them are the rows of size n.
func (d *data) resample() *mat.Dense {
	rows, _ := d.trainX.Dims()
	rng := rand.New(rand.NewPCG(0, 0))
	out := mat.NewDense(1, fitSizes[len(fitSizes)-1], nil)
	for k := range out.RawRowView(0) {
		out.Set(0, k, float64(rng.IntN(rows)))
	}
	return out
}

// rows returns the first n resampled rows of m.
func (d *data) rows(m *mat.Dense, n int) *mat.Dense {
	_, columns := m.Dims()
	out := mat.NewDense(n, columns, nil)
	for k := range n {
		out.SetRow(k, m.RawRowView(int(d.sample.At(0, k))))
	}
	return out
}

// Sizes measures forest fits on all cores, and PPO, at several sizes.
func Sizes(ctx context.Context, cfg Config) (fits, trainings []Size, err error) {
	d, err := prepare(ctx, cfg.Source)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "meshbench-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := d.write(dir, 0); err != nil {
		return nil, nil, err
	}
	for _, n := range fitSizes {
		cfg.log("fit of %d rows", n)
		x, y := d.rows(d.trainX, n), d.rows(d.trainY, n)
		s := Size{Size: n}
		s.OursBytes = peakGrowth(func() {
			begin := time.Now()
			_, err = forest.Fit(ctx, x, y, forest.Config{Trees: 120})
			s.Ours = time.Since(begin).Seconds()
		})
		if err != nil {
			return nil, nil, err
		}
		if n <= largestPeer {
			got, err := cfg.peer(ctx, fmt.Sprintf("fit-size-%d", n), dir)
			if err != nil {
				return nil, nil, err
			}
			s.Peer, s.PeerBytes = got.Fit, got.Peak
		}
		fits = append(fits, s)
	}
	for _, n := range environments {
		cfg.log("PPO with %d environments", n)
		s := Size{Size: n}
		s.OursBytes = peakGrowth(func() { s.Ours, err = d.ppoRate(ctx, n, 0) })
		if err != nil {
			return nil, nil, err
		}
		got, err := cfg.peer(ctx, fmt.Sprintf("ppo-size-%d", n), dir)
		if err != nil {
			return nil, nil, err
		}
		s.Peer, s.PeerBytes = got.Rate, got.Peak
		trainings = append(trainings, s)
	}
	return fits, trainings, nil
}

// ppoRate is the number of steps per CPU-second of PPO in the authors' setting
// with n environments.
func (d *data) ppoRate(ctx context.Context, n int, seed uint64) (float64, error) {
	var envs []ppo.Env
	for range n {
		env, err := d.env(ctx)
		if err != nil {
			return 0, err
		}
		envs = append(envs, env)
	}
	t, err := ppo.New(ppo.Config{Seed: seed}, envs...)
	if err != nil {
		return 0, err
	}
	if err := t.Train(ctx, 2048); err != nil {
		return 0, err
	}
	const steps = 64 * 1024
	cpu, err := cpuSeconds(func() error { return t.Train(ctx, 2048+steps) })
	return steps / cpu, err
}

// peakGrowth is by how many bytes the heap grew while f ran, at most, garbage
// that was not yet collected included.
func peakGrowth(f func()) float64 {
	runtime.GC()
	read := func() float64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return float64(s[0].Value.Uint64())
	}
	before := read()
	stop, peak := make(chan struct{}), make(chan float64)
	go func() {
		top := before
		for {
			top = max(top, read())
			select {
			case <-stop:
				peak <- max(top, read())
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	return <-peak - before
}

// DrawSizes draws cost and memory against size, as bench-size in dir.
func DrawSizes(dir string, fits, trainings []Size) error {
	series := func(of []Size, value func(Size) (ours, peer float64), peer string) []figure.Series {
		a, b := figure.Series{Name: "Meshbench"}, figure.Series{Name: peer}
		for _, s := range of {
			x, y := value(s)
			a.X, a.Y = append(a.X, float64(s.Size)), append(a.Y, x)
			if y != 0 {
				b.X, b.Y = append(b.X, float64(s.Size)), append(b.Y, y)
			}
		}
		if len(b.X) == 0 {
			return []figure.Series{a}
		}
		return []figure.Series{a, b}
	}
	cost := func(s Size) (float64, float64) { return s.Ours, s.Peer }
	memory := func(s Size) (float64, float64) { return s.OursBytes / 1e6, s.PeerBytes / 1e6 }
	drawing, err := figure.Panels(
		figure.Panel{Axes: figure.Axes{Title: "(a) fit of 120 trees, all cores", X: "rows", Y: "s", LogX: true, LogY: true}, Series: series(fits, cost, "scikit-learn")},
		figure.Panel{Axes: figure.Axes{Title: "(b) its memory", X: "rows", Y: "MB", LogX: true, LogY: true}, Series: series(fits, memory, "scikit-learn")},
		figure.Panel{Axes: figure.Axes{Title: "(c) PPO", X: "environments", Y: "steps/CPU-s", LogY: true}, Series: series(trainings, cost, "SB3")},
		figure.Panel{Axes: figure.Axes{Title: "(d) its memory", X: "environments", Y: "MB", LogY: true}, Series: series(trainings, memory, "SB3")},
	)
	if err != nil {
		return err
	}
	return drawing.Save(dir, "bench-size")
}

// sizesFile is where Write puts the costs by size.
const sizesFile = "bench-size.json"

// WriteSizes writes bench-size.json into dir.
func WriteSizes(dir string, fits, trainings []Size) error {
	return writeJSON(filepath.Join(dir, sizesFile), map[string][]Size{"forest fit, all cores": fits, "PPO, steps per CPU-second": trainings})
}
