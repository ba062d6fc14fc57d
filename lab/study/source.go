package study

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
	"github.com/meshbench/meshbench/lab/trace/importer"
)

// Source is a trace and how it is learned from.
type Source struct {
	Name  string // "kth-published", "kth-corrected", "local", "virtual"
	Title string // for people
	// Scenario is what was measured, under which load, for what.
	Scenario scenario.Scenario
	Trace    *trace.Table
	Kind     model.Kind
	SHA256   string // of the trace's file, or of what generated it
	Forest   forest.Config
	// Structure is which inputs the model learns from.
	Structure model.Structure
	// Expected values a step by its expected reward, rather than by the reward
	// of its mean delay as the paper does.
	Expected bool
	// Separate and Median are model.Config's.
	Separate bool
	Median   float64
	// Settle is the limit by which rows after an overload are not learned from,
	// s (see model.Settled); 0 keeps all.
	Settle float64

	path string // of the trace's file, for errors
}

// key is what the model of a source depends on.
func (s Source) key() []any {
	return []any{s.Name, s.Scenario.Hash(), s.SHA256, s.Forest, s.Kind, s.Structure, s.Expected, s.Separate, s.Median, s.Settle}
}

// Rows are the rows that a model is learned from and scored on.
func (s Source) Rows() *trace.Table { return model.Settled(s.Trace, s.Settle) }

// measured returns s with the model of the project's own traces: per node, as
// nodes that share nothing allow, of settled steps, and with large leaves,
// within which rows are moved to the loads asked for. Compare is how it was
// chosen, for 6,000 rows; of fewer the leaves have fewer, so that there are as
// many: with 80 of 300 the model hardly tells actions apart.
func (s Source) measured() Source {
	s.Kind, s.Structure, s.Expected, s.Settle = model.Measured, model.NodeInputs, true, s.settle()
	s.Forest = forest.Config{Trees: 60, MinLeaf: 80}
	if s.Trace != nil {
		s.Forest.MinLeaf = min(max(s.Trace.Len()/75, 20), 80)
	}
	// Percentiles and failures are learned from all loads and knobs together, and
	// so is a node of many settings.
	space := s.Scenario.MustSpace()
	tail := slices.ContainsFunc(s.Scenario.Defaults().Objectives, objective.Objective.Tail)
	for j := range space.Mesh().N() {
		if tail || model.NodeConfigs(space, j) > maxNodeConfigs {
			return s.reconfigured(tail)
		}
	}
	return s
}

// maxNodeConfigs is the number of settings of a node's own knobs up to which each
// is learned apart.
const maxNodeConfigs = 8

// maxExpected is the number of actions up to which a joint model's rewards are
// expectations.
const maxExpected = 256

// reconfigured returns s with the model of nodes that are not always the same: of
// all loads and knobs, with percentiles and failures where an objective looks at
// them. Its rows are those of knobs that have been in force for a step.
func (s Source) reconfigured(tail bool) Source {
	s.Structure, s.Settle = model.JointInputs, 0
	s.Forest = forest.Config{Trees: 60, MinLeaf: 20}
	// Of many actions rewards are those of the mean step: an expectation over the
	// draws of each takes a hundred times as long.
	s.Expected = s.Scenario.MustSpace().Len() <= maxExpected
	if tail {
		s.Kind = model.Tails
	}
	return s
}

// joint returns s with a model of all loads and controls, of a trace that does not
// say how many requests each node answered.
func (s Source) joint() Source {
	if s = s.measured(); s.Structure != model.JointInputs {
		s.Structure, s.Settle, s.Forest = model.JointInputs, 0, corrected()
	}
	return s
}

// attributed reports whether a trace says how many requests each endpoint
// answered, by which a model per node weights its delays.
func attributed(t *trace.Table) bool {
	for _, name := range t.DelayNames() {
		counts, err := t.Column(name + "_n")
		if err != nil || !slices.ContainsFunc(counts, func(n float64) bool { return n > 0 }) {
			return false
		}
	}
	return true
}

// settle is the delay above which a node has fallen behind: that of four of the
// slowest requests in its queue, s.
func (s Source) settle() float64 {
	slowest := 0.0
	for _, w := range s.Scenario.Work {
		slowest = max(slowest, w.Time)
	}
	return math.Round(slowest*4.17*1000) / 1000
}

// Paper returns s with the paper's model: forests of mean delays from all loads
// and controls (Eq. 5), of all rows.
func (s Source) Paper() Source {
	s.Structure, s.Expected, s.Settle, s.Forest = model.JointInputs, false, 0, corrected()
	if s.Kind == model.AsPublished {
		s.Forest = authors()
	}
	return s
}

// Objective returns o as this source counts delays and carried load.
func (s Source) Objective(o objective.Objective) objective.Objective {
	if s.Kind == model.AsPublished {
		return o.AsPublished()
	}
	return o
}

// authors is the authors' forest: 120 full-depth trees.
func authors() forest.Config { return forest.Config{Trees: 120} }

// corrected is the forest for the published trace's measured reading: leaves of
// several steps average out the noise of single ones.
func corrected() forest.Config { return forest.Config{Trees: 60, MinLeaf: 5} }

// Published returns the published trace as the authors used it and, beside it,
// with the audit's corrections. path "" means where importer.FindKTH finds it;
// without one, it returns none.
func Published(path string) ([]Source, error) {
	if path == "" {
		found, err := importer.FindKTH()
		if errors.Is(err, importer.ErrNoKTH) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		path = found
	}
	sc := scenario.Paper()
	var out []Source
	for _, preset := range []string{importer.KTHAsPublished, importer.KTHCorrected} {
		m, err := importer.Preset(preset)
		if err != nil {
			return nil, err
		}
		t, _, err := importer.Import(path, m, importer.Options{Space: sc.MustSpace(), Scenario: sc.Name, SHA256: importer.KTHSHA256})
		if err != nil {
			return nil, err
		}
		s := Source{Scenario: sc, Name: "kth-published", Title: "published trace, as published", Trace: t, Kind: model.AsPublished, SHA256: importer.KTHSHA256, Forest: authors()}
		if preset == importer.KTHCorrected {
			s.Name, s.Title, s.Kind, s.Forest = "kth-corrected", "published trace, corrected", model.Measured, corrected()
		}
		out = append(out, s)
	}
	return out, nil
}

// Local is the file of the local testbed's trace, relative to Root.
const Local = "datasets/local.csv"

// Own returns the project's own trace: that of the local testbed if it was
// collected, else one of the virtual testbed.
func Own(ctx context.Context, root string) (Source, error) {
	path := filepath.Join(root, Local)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return Virtual(ctx, scenario.Paper(), 10_000, 1)
	}
	return Collected(path, scenario.Paper())
}

// Collected returns the trace of a testbed, named by it, as the project's own is
// learned from; where it does not say how many requests each node answered, by a
// model of all loads and controls. It must be one of the scenario.
func Collected(path string, sc scenario.Scenario) (Source, error) {
	space, err := sc.Space()
	if err != nil {
		return Source{}, err
	}
	t, err := trace.Read(path, trace.ReadOptions{Space: space})
	if err != nil {
		return Source{}, err
	}
	if name := t.Meta().Scenario; name != "" && name != sc.Name {
		return Source{}, fmt.Errorf("study: %s is a trace of scenario %s, not of %s", path, name, sc.Name)
	}
	sum, err := trace.SHA256(path)
	if err != nil {
		return Source{}, err
	}
	name := t.Meta().Testbed
	s := Source{Name: name, Title: name + " testbed", Scenario: sc, Trace: t, SHA256: sum, path: path}
	if !attributed(t) {
		return s.joint(), nil
	}
	return s.measured(), nil
}

// Virtual generates a trace of a scenario's virtual testbed: random loads and
// random actions. The same arguments give the same trace.
func Virtual(ctx context.Context, sc scenario.Scenario, steps int, seed uint64) (Source, error) {
	bed, err := virtual.New(virtual.Config{Scenario: sc})
	if err != nil {
		return Source{}, err
	}
	defer bed.Close()
	c := testbed.Collection{Scenario: sc, Steps: steps, Seed: seed}
	if bed.Space().Slow() {
		c.Load = load.Uniform{Ranges: sc.Loads} // which come in between, as patterns that vary have them
	}
	meta, err := c.Meta(bed)
	if err != nil {
		return Source{}, err
	}
	t := trace.New(meta)
	if err := testbed.Collect(ctx, bed, t, c); err != nil {
		return Source{}, err
	}
	h := sha256.New()
	if _, err := t.WriteTo(h); err != nil {
		return Source{}, err
	}
	return Source{Name: "virtual", Title: "virtual testbed (discrete-event simulation)", Scenario: sc, Trace: t,
		SHA256: hex.EncodeToString(h.Sum(nil))}.measured(), nil
}

// Learn fits the system model of a source to all rows of its trace.
func (s Source) Learn(ctx context.Context, seed uint64) (model.Learned, error) {
	return s.learn(ctx, s.Rows(), seed)
}

// LearnHalves fits two models to disjoint halves of the rows. Noise that one
// has learned, the other has not: what is optimal under one is evaluated
// honestly by the other.
func (s Source) LearnHalves(ctx context.Context, seed uint64) (a, b model.Learned, err error) {
	first, second := s.Rows().Split(trace.Split{Train: .5, Seed: seed})
	if a, err = s.learn(ctx, first, seed); err != nil {
		return nil, nil, err
	}
	b, err = s.learn(ctx, second, seed+1)
	return a, b, err
}

// Greedy values what the policy "greedy" looks at: the mean delays of the paper's
// model; where that is the source's own, of a model of half of the rows, for on
// its own model greedy is the optimum.
func (s Source) Greedy(ctx context.Context, seed uint64) (func(o objective.Objective) (*optimum.Rewards, error), error) {
	paper := s.Paper()
	var rows *trace.Table
	if s.Structure == model.JointInputs {
		rows, _ = s.Rows().Split(trace.Split{Train: .5, Seed: seed})
		seed++
		paper = s
	} else {
		rows = paper.Rows()
	}
	m, err := paper.learn(ctx, rows, seed)
	if err != nil {
		return nil, err
	}
	// Where it cannot be enumerated, a short search has to do: every action that a
	// joint model values goes through all of its forests.
	short := optimum.Search{Restarts: 2, Kicks: 4}
	return func(o objective.Objective) (*optimum.Rewards, error) {
		return optimum.NewRewards(m, paper.Objective(o), optimum.Config{Expected: paper.Expected, Search: short, Timing: paper.Scenario.Timing})
	}, nil
}

// Rewards values a model of the source by objective o.
func (s Source) Rewards(m model.Learned, o objective.Objective) (*optimum.Rewards, error) {
	cfg := optimum.Config{Expected: s.Expected, Timing: s.Scenario.Timing}
	if s.Scenario.MustSpace().Slow() {
		for _, r := range s.Scenario.Loads {
			cfg.Quanta = append(cfg.Quanta, r.Quantum)
		}
	}
	return optimum.NewRewards(m, s.Objective(o), cfg)
}

func (s Source) learn(ctx context.Context, t *trace.Table, seed uint64) (model.Learned, error) {
	cfg := s.Forest
	cfg.Seed = seed
	m, err := model.Learn(ctx, t, model.Config{Kind: s.Kind, Structure: s.Structure, Separate: s.Separate, Median: s.Median, Forest: cfg})
	if err != nil && ctx.Err() == nil {
		of := s.path
		if of == "" {
			of = s.Title
		}
		return nil, fmt.Errorf("%s: learning from %d of %d rows: %w", of, t.Len(), s.Trace.Len(), err)
	}
	return m, err
}

// Score is how well a model predicts one target on rows that it did not see:
// means over splits.
type Score struct {
	Trace  string  `json:"trace"`
	Split  string  `json:"split"` // "row" or "action"
	Target string  `json:"target"`
	NMAE   float64 `json:"nmae"`
	R2     float64 `json:"r2"`
	Naive  float64 `json:"naive_nmae"` // NMAE of predicting the training mean
}

// Scores fits models to 70 % of the rows and scores them on the rest, over
// several splits, by row and by whole action; without a target that never varies.
func Scores(ctx context.Context, s Source, splits int) ([]Score, error) {
	var out []Score
	for _, by := range []string{"row", "action"} {
		of := make([][]Score, splits)
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for seed := range of {
			g.Go(func() error {
				train, test := s.Rows().Split(trace.Split{Seed: uint64(seed), ByAction: by == "action"})
				if train.Len() == 0 || test.Len() == 0 { // of too few rows for both
					return nil
				}
				m, err := s.learn(ctx, train, uint64(seed))
				if err != nil {
					return err
				}
				of[seed], err = score(s, by, m, train, test)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		var sum []Score
		var counted []float64 // splits of each target
		for _, one := range of {
			if sum == nil {
				sum, counted = slices.Clone(one), make([]float64, len(one))
				for k := range sum {
					sum[k].NMAE, sum[k].R2, sum[k].Naive = 0, 0, 0
				}
			}
			for k, x := range one {
				// Of what is the same in all rows that are left there is no score.
				if v := x.NMAE + x.R2 + x.Naive; math.IsNaN(v) || math.IsInf(v, 0) {
					continue
				}
				counted[k]++
				sum[k].NMAE += x.NMAE
				sum[k].R2 += x.R2
				sum[k].Naive += x.Naive
			}
		}
		for k, n := range counted {
			if n > 0 {
				s := sum[k]
				s.NMAE, s.R2, s.Naive = s.NMAE/n, s.R2/n, s.Naive/n
				out = append(out, s)
			}
		}
	}
	return out, nil
}

func score(s Source, by string, m model.Learned, train, test *trace.Table) ([]Score, error) {
	p, err := Predicted(m, train, test)
	return scored(s, by, p), err
}

func scored(s Source, by string, p []Prediction) []Score {
	var out []Score
	for _, t := range p {
		if len(t.Measured) == 0 { // of none there is no score
			out = append(out, Score{Trace: s.Name, Split: by, Target: t.Target, NMAE: math.NaN(), R2: math.NaN(), Naive: math.NaN()})
			continue
		}
		y, hat := column(t.Measured), column(t.Predicted)
		naive := make([]float64, len(t.Measured))
		for k := range naive {
			naive[k] = t.TrainMean
		}
		out = append(out, Score{Trace: s.Name, Split: by, Target: t.Target,
			NMAE: forest.NMAE(y, hat)[0], R2: forest.R2(y, hat)[0], Naive: forest.NMAE(y, column(naive))[0]})
	}
	return out
}

func column(v []float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }

// Prediction is one target on the test rows that have it.
type Prediction struct {
	Target              string
	Measured, Predicted []float64
	TrainMean           float64
}

// Predicted predicts every target of a model on the rows of test that have it, which
// may be none.
func Predicted(m model.Learned, train, test *trace.Table) ([]Prediction, error) {
	names := model.Targets(m.Space(), m.Kind())
	x := test.Features()
	y, err := model.TargetValues(test, m.Kind())
	if err != nil {
		return nil, err
	}
	trained, err := model.TargetValues(train, m.Kind())
	if err != nil {
		return nil, err
	}
	hat := m.PredictMatrix(x)
	rows, _ := y.Dims()
	var out []Prediction
	for k, name := range names {
		p := Prediction{Target: name, TrainMean: mean(trained, k)}
		for r := range rows {
			if v := y.At(r, k); !math.IsNaN(v) && !math.IsNaN(hat.At(r, k)) {
				p.Measured = append(p.Measured, v)
				p.Predicted = append(p.Predicted, hat.At(r, k))
			}
		}
		out = append(out, p)
	}
	return out, nil
}

func mean(m *mat.Dense, k int) float64 {
	rows, _ := m.Dims()
	sum, n := 0.0, 0
	for r := range rows {
		if v := m.At(r, k); !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// Sources are the traces of the main study: the published one if it is here,
// as published and corrected, and the project's own.
func Sources(ctx context.Context, root string) ([]Source, error) {
	list, err := Published("")
	if err != nil {
		return nil, err
	}
	own, err := Own(ctx, root)
	if err != nil {
		return nil, err
	}
	return append(list, own), nil
}
