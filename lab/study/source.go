package study

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

// Source is a trace and how it is learned from.
type Source struct {
	Name   string // "kth-published", "kth-corrected", "local", "virtual"
	Title  string // for people
	Trace  *trace.Table
	Kind   sim.Kind
	SHA256 string // of the trace's file, or of what generated it
	Forest forest.Config
	// Structure is which inputs the model learns from.
	Structure sim.Structure
	// Expected values a step by its expected reward, rather than by the reward
	// of its mean delay as the paper does.
	Expected bool
	// Separate and Median are sim.ModelConfig's.
	Separate bool
	Median   float64
	// Settle is the limit by which rows after an overload are not learned from,
	// s (see sim.Settled); 0 keeps all.
	Settle float64
}

// key is what the model of a source depends on.
func (s Source) key() []any {
	return []any{s.Name, s.SHA256, s.Forest, s.Kind, s.Structure, s.Expected, s.Separate, s.Median, s.Settle}
}

// Rows are the rows that a model is learned from and scored on.
func (s Source) Rows() *trace.Table { return sim.Settled(s.Trace, s.Settle) }

// measured returns s with the model of the project's own traces: per node, as
// nodes that share nothing allow, of settled steps, and with large leaves,
// within which rows are moved to the loads asked for. Compare is how it was
// chosen.
func (s Source) measured() Source {
	s.Kind, s.Structure, s.Expected, s.Settle = sim.Measured, sim.PerNode, true, .3
	s.Forest = forest.Config{Trees: 60, MinLeaf: 80}
	return s
}

// Paper returns s with the paper's model: forests of mean delays from all loads
// and controls (Eq. 5), of all rows.
func (s Source) Paper() Source {
	s.Structure, s.Expected, s.Settle, s.Forest = sim.Joint, false, 0, corrected()
	if s.Kind == sim.AsPublished {
		s.Forest = authors()
	}
	return s
}

// Objective returns o as this source counts delays and carried load.
func (s Source) Objective(o objective.Objective) objective.Objective {
	if s.Kind == sim.AsPublished {
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
// with the audit's corrections. path "" means where trace.FindKTH finds it;
// without one, it returns none.
func Published(path string) ([]Source, error) {
	if path == "" {
		found, err := trace.FindKTH()
		if errors.Is(err, trace.ErrNoKTH) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		path = found
	}
	var out []Source
	for _, reading := range []trace.KTHReading{trace.AsPublished, trace.Corrected} {
		t, err := trace.ImportKTH(path, trace.KTHOptions{Reading: reading})
		if err != nil {
			return nil, err
		}
		s := Source{Name: "kth-published", Title: "published trace, as published", Trace: t, Kind: sim.AsPublished, SHA256: trace.KTHSHA256, Forest: authors()}
		if reading == trace.Corrected {
			s.Name, s.Title, s.Kind, s.Forest = "kth-corrected", "published trace, corrected", sim.Measured, corrected()
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
		return Virtual(ctx, 10_000, 1)
	}
	return Collected(path)
}

// Collected returns the trace of a testbed, named by it, as the project's own is
// learned from.
func Collected(path string) (Source, error) {
	t, err := trace.Read(path, trace.ReadOptions{})
	if err != nil {
		return Source{}, err
	}
	sum, err := trace.SHA256(path)
	if err != nil {
		return Source{}, err
	}
	name := t.Meta().Testbed
	return Source{Name: name, Title: name + " testbed", Trace: t, SHA256: sum}.measured(), nil
}

// Virtual generates a trace of the virtual testbed: random loads and random
// actions. The same arguments give the same trace.
func Virtual(ctx context.Context, steps int, seed uint64) (Source, error) {
	bed, err := virtual.New(virtual.Config{})
	if err != nil {
		return Source{}, err
	}
	defer bed.Close()
	c := testbed.Collection{Steps: steps, Seed: seed}
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
	return Source{Name: "virtual", Title: "virtual testbed (discrete-event simulation)", Trace: t,
		SHA256: hex.EncodeToString(h.Sum(nil))}.measured(), nil
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
// several splits, by row and by whole action.
func Scores(ctx context.Context, s Source, splits int) ([]Score, error) {
	var out []Score
	for _, by := range []string{"row", "action"} {
		var sum []Score
		for seed := range splits {
			train, test := s.Rows().Split(trace.Split{Seed: uint64(seed), ByAction: by == "action"})
			model, err := s.learn(ctx, train, uint64(seed))
			if err != nil {
				return nil, err
			}
			one, err := score(s, by, model, train, test)
			if err != nil {
				return nil, err
			}
			if sum == nil {
				sum = one
				continue
			}
			for k := range sum {
				sum[k].NMAE += one[k].NMAE
				sum[k].R2 += one[k].R2
				sum[k].Naive += one[k].Naive
			}
		}
		for k := range sum {
			sum[k].NMAE /= float64(splits)
			sum[k].R2 /= float64(splits)
			sum[k].Naive /= float64(splits)
		}
		out = append(out, sum...)
	}
	return out, nil
}

func score(s Source, by string, model *sim.Model, train, test *trace.Table) ([]Score, error) {
	p, err := Predicted(model, train, test)
	if err != nil {
		return nil, err
	}
	var out []Score
	for _, t := range p {
		y, hat := column(t.Measured), column(t.Predicted)
		naive := make([]float64, len(t.Measured))
		for k := range naive {
			naive[k] = t.TrainMean
		}
		out = append(out, Score{Trace: s.Name, Split: by, Target: t.Target,
			NMAE: forest.NMAE(y, hat)[0], R2: forest.R2(y, hat)[0], Naive: forest.NMAE(y, column(naive))[0]})
	}
	return out, nil
}

func column(v []float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }

// Prediction is one target on the test rows that have it.
type Prediction struct {
	Target              string
	Measured, Predicted []float64
	TrainMean           float64
}

// Predicted predicts every target of a model on the rows of test.
func Predicted(model *sim.Model, train, test *trace.Table) ([]Prediction, error) {
	names := sim.Targets(model.Mesh(), model.Kind())
	x := test.Features()
	y, err := sim.TargetValues(test, model.Kind())
	if err != nil {
		return nil, err
	}
	trained, err := sim.TargetValues(train, model.Kind())
	if err != nil {
		return nil, err
	}
	hat := model.PredictMatrix(x)
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
