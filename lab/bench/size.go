package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
)

// Curve is how cost and memory grow with the size of a problem, measured once on
// each side.
type Curve struct {
	Curve  string  `json:"curve"`
	Size   string  `json:"size"` // what is counted
	Unit   string  `json:"unit"`
	Peer   string  `json:"peer,omitempty"`
	Points []Point `json:"points"`
	// Exponent is that of the power law through our costs, by least squares of
	// their logarithms.
	Exponent float64 `json:"exponent"`
}

// Point is one size of a curve. The peer's figures are 0 where it was not measured,
// memory where it was not.
type Point struct {
	Size      float64 `json:"size"`
	Ours      float64 `json:"ours"`
	Peer      float64 `json:"peer,omitempty"`
	OursBytes float64 `json:"ours_bytes,omitempty"` // growth of the heap, at its peak
	PeerBytes float64 `json:"peer_bytes,omitempty"`
}

// sizes are what the costs are measured at. The peer's fit of the largest takes
// minutes, and is left out.
var (
	fitSizes         = []int{10_000, 40_000, 160_000, 640_000, 1_000_000}
	treeSizes        = []int{15, 30, 60, 120, 240}
	peerEnvironments = []int{1, 2, 4, 8}
	trainingSizes    = []int{1, 2, 4, 8, 16}
	levelSizes       = []int{3, 4, 6, 8}
)

// peerSizes are the numbers of rows that the peer is measured at.
func peerSizes() []int { return fitSizes[:3] }

// resample draws the rows of the fits, with replacement, as numbers of training
// rows: the first n of them are the rows of size n.
func (d *data) resample() *mat.Dense {
	rows, _ := d.samples[fits[0]].x.Dims()
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
		out.SetRow(k, m.RawRowView(int(d.bootstrap.At(0, k))))
	}
	return out
}

// Curves measures cost and memory against size.
func Curves(ctx context.Context, cfg Config) ([]Curve, error) {
	d, err := prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "meshbench-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(d.write(dir), d.begin(dir, 0)); err != nil {
		return nil, err
	}
	var out []Curve
	for _, measure := range []func(ctx context.Context, dir string) (Curve, error){d.byRows, d.byTrees, d.byEnvironments, d.bySeeds, d.byWorkers, d.byActions} {
		c, err := measure(ctx, dir)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, grow := range []struct {
		size  string
		sizes []int
		of    func(n int) (services, nodes int)
	}{
		{"nodes", nodeSizes, func(n int) (int, int) { return 2, n }},
		{"services", serviceSizes, func(n int) (int, int) { return n, 4 }},
	} {
		list, err := d.byMesh(ctx, grow.size, grow.sizes, grow.of)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	for n := range out {
		c := &out[n]
		x, y := make([]float64, len(c.Points)), make([]float64, len(c.Points))
		for k, p := range c.Points {
			x[k], y[k] = math.Log(p.Size), math.Log(p.Ours)
		}
		_, c.Exponent = stat.LinearRegression(x, y, nil, false)
		cfg.log("%s by %s: exponent %.2f", c.Curve, c.Size, c.Exponent)
	}
	return out, nil
}

// add measures seconds and memory of f, as the point of a size.
func (c *Curve) add(size float64, f func() error) (err error) {
	p := Point{Size: size}
	p.OursBytes = peakGrowth(func() { p.Ours, err = seconds(f) })
	c.Points = append(c.Points, p)
	return err
}

// beside adds what a peer gave to the points that it has.
func (c *Curve) beside(cfg Config, ctx context.Context, function, dir string, name func(size float64) string) {
	version, got, err := cfg.python(ctx, function, dir)
	if err != nil {
		cfg.log("%s: not measured: %v", function, err)
		return
	}
	c.Peer = version
	for k, p := range c.Points {
		r := got[name(p.Size)]
		c.Points[k].Peer, c.Points[k].PeerBytes = r.Value, r.Checks["peak"]
	}
}

func (d *data) byRows(ctx context.Context, dir string) (Curve, error) {
	c := Curve{Curve: "fit of 120 trees, all cores", Size: "rows", Unit: "s"}
	of := d.samples[fits[0]]
	for _, n := range fitSizes {
		d.cfg.log("fit of %d rows", n)
		s := sample{x: d.rows(of.x, n), y: d.rows(of.y, n)}
		if err := c.add(float64(n), func() error { _, err := d.fit(ctx, s, 0, 0); return err }); err != nil {
			return c, err
		}
	}
	c.beside(d.cfg, ctx, "forests.sizes", dir, func(size float64) string { return fmt.Sprintf("rows %.0f", size) })
	return c, nil
}

func (d *data) byTrees(ctx context.Context, _ string) (Curve, error) {
	c := Curve{Curve: "fit of the trace, one core", Size: "trees", Unit: "s"}
	s := d.samples[fits[0]]
	for _, n := range treeSizes {
		err := c.add(float64(n), func() error {
			_, err := forest.Fit(ctx, s.x, s.y, forest.Config{Trees: n, Workers: 1})
			return err
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

func (d *data) byEnvironments(ctx context.Context, dir string) (Curve, error) {
	c := Curve{Curve: "PPO", Size: "environments", Unit: "steps per CPU-second"}
	for _, n := range peerEnvironments {
		d.cfg.log("PPO with %d environments", n)
		p := Point{Size: float64(n)}
		var err error
		p.OursBytes = peakGrowth(func() { p.Ours, err = d.ppoRate(ctx, n, 0) })
		if err != nil {
			return c, err
		}
		c.Points = append(c.Points, p)
	}
	c.beside(d.cfg, ctx, "ppos.sizes", dir, func(size float64) string { return fmt.Sprintf("PPO, %.0f x %.0f", size, 1024/size) })
	return c, nil
}

// byActions searches the best action of four services on four nodes at one load,
// of ever finer knobs, on a model that is a formula.
func (d *data) byActions(_ context.Context, _ string) (Curve, error) {
	c := Curve{Curve: "search of the best action", Size: "actions", Unit: "s"}
	for _, levels := range levelSizes {
		s, err := scenario.Open("wide")
		if err != nil {
			return c, err
		}
		for k := range s.Knobs {
			s.Knobs[k].Levels = levels
		}
		m, err := model.NewQueueing(s)
		if err != nil {
			return c, err
		}
		r, err := optimum.NewRewards(m, s.Objectives[0], optimum.Config{})
		if err != nil {
			return c, err
		}
		actions := 1.0
		for _, n := range m.Space().Choices() {
			actions *= float64(n)
		}
		load := make(mesh.Load, len(s.Loads))
		for k, l := range s.Loads {
			load[k] = (l.Min + l.Max) / 2
		}
		d.cfg.log("search of %.3g actions", actions)
		if err := c.add(actions, func() error { _, err := r.Best(load); return err }); err != nil {
			return c, err
		}
	}
	return c, nil
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

// DrawCurves draws cost and memory against size, as bench-size in dir.
func DrawCurves(dir string, curves []Curve) error {
	var panels []figure.Panel
	for _, c := range curves {
		series := func(value func(Point) (ours, peer float64)) []figure.Series {
			a, b := figure.Series{Name: "Meshbench"}, figure.Series{Name: c.Peer}
			for _, p := range c.Points {
				x, y := value(p)
				a.X, a.Y = append(a.X, p.Size), append(a.Y, x)
				if y > 0 {
					b.X, b.Y = append(b.X, p.Size), append(b.Y, y)
				}
			}
			if len(b.X) == 0 {
				return []figure.Series{a}
			}
			return []figure.Series{a, b}
		}
		add := func(what, unit string, value func(Point) (ours, peer float64)) {
			panels = append(panels, figure.Panel{Axes: figure.Axes{Title: fmt.Sprintf("(%c) %s", 'a'+len(panels), what), X: c.Size, Y: unit, LogX: true, LogY: true}, Series: series(value)})
		}
		add(fmt.Sprintf("%s: exponent %.2f", c.Curve, c.Exponent), c.Unit, func(p Point) (float64, float64) { return p.Ours, p.Peer })
		if slices.ContainsFunc(c.Points, func(p Point) bool { return p.PeerBytes > 0 }) {
			add("its memory", "MB", func(p Point) (float64, float64) { return p.OursBytes / 1e6, p.PeerBytes / 1e6 })
		}
	}
	drawing, err := figure.Panels(panels...)
	if err != nil {
		return err
	}
	return drawing.Save(dir, "bench-size")
}

// WriteCurves writes bench-size.json into dir.
func WriteCurves(dir string, curves []Curve) error {
	return writeJSON(filepath.Join(dir, "bench-size.json"), curves)
}
