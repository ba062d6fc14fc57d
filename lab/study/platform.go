package study

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/trace"
)

// Platform is what the columns that the platform measured (trace.Meta.Platform) say
// of response times beyond loads and action. A model of a simulator cannot have them
// as inputs, since they are measured in the very step that is to be foreseen; but
// where they explain much that loads and action do not, something else moves the
// response times: another tenant, a throttled processor, a node that got slow.
type Platform struct {
	Columns []string // that were used
	Left    []string // that fewer than half of the rows have, or that never vary
	Rows    int      // that have all of Columns
	Targets []PlatformTarget
}

// PlatformTarget is one response time, predicted for rows that were not learned from
// by forests of the same settings and rows, without and with the platform's columns.
type PlatformTarget struct {
	Target        string
	Rows          int // that were predicted
	NMAE, With    float64
	R2, R2With    float64
	ColumnMatters []float64 // by how much R2With falls when that column is shuffled
}

// minPlatformRows is the number of rows from which forests are compared.
const minPlatformRows = 50

// PlatformOf scores the platform's columns of a source: 70 % of the rows are learned
// from. It is nil for a trace without such columns, and an error where too few rows
// have them.
func PlatformOf(ctx context.Context, s Source, seed uint64) (*Platform, error) {
	t := s.Rows()
	names := t.Meta().Platform
	if len(names) == 0 {
		return nil, nil
	}
	p := &Platform{}
	var use []int
	for k, name := range names {
		n, low, high := 0, math.Inf(1), math.Inf(-1)
		for r := range t.Len() {
			if v := t.Row(r).Measurement.Platform[k]; !math.IsNaN(v) {
				n, low, high = n+1, min(low, v), max(high, v)
			}
		}
		if 2*n < t.Len() || !(low < high) {
			p.Left = append(p.Left, name)
			continue
		}
		use, p.Columns = append(use, k), append(p.Columns, name)
	}
	if len(use) == 0 {
		return p, nil
	}
	var complete []int
	for r := range t.Len() {
		ok := true
		for _, k := range use {
			ok = ok && !math.IsNaN(t.Row(r).Measurement.Platform[k])
		}
		if ok {
			complete = append(complete, r)
		}
	}
	if p.Rows = len(complete); p.Rows < minPlatformRows {
		return nil, fmt.Errorf("study: %d rows have all that the platform measured; to tell what it says at least %d are needed", p.Rows, minPlatformRows)
	}
	train, test := t.Subset(complete).Split(trace.Split{Seed: seed})
	y, err := model.TargetValues(train, s.Kind)
	if err != nil {
		return nil, err
	}
	want, err := model.TargetValues(test, s.Kind)
	if err != nil {
		return nil, err
	}
	x, held := withPlatform(train, use), withPlatform(test, use)
	delays := len(t.Space().Layout().Endpoints)
	if s.Kind != model.AsPublished {
		delays += t.Space().Mesh().M()
	}
	for k, name := range model.Targets(t.Space(), s.Kind)[:delays] {
		score, err := platformTarget(ctx, x, y, held, want, k, len(use), seed)
		if err != nil {
			return nil, fmt.Errorf("study: %s by what the platform measured: %w", name, err)
		}
		if score.Target = name; score.Rows > 0 {
			p.Targets = append(p.Targets, score)
		}
	}
	return p, nil
}

// platformTarget fits column k of y, which the last further columns of x are left
// out for at first.
func platformTarget(ctx context.Context, x, y, held, want *mat.Dense, k, further int, seed uint64) (PlatformTarget, error) {
	var out PlatformTarget
	px, py := forest.Present(x, y, k)
	hx, hy := forest.Present(held, want, k)
	if px == nil || hx == nil {
		return out, nil
	}
	rows, columns := hx.Dims()
	out.Rows = rows
	c := corrected()
	c.Seed = seed
	fit := func(columns int) (*forest.Forest, error) {
		n, _ := px.Dims()
		return forest.Fit(ctx, px.Slice(0, n, 0, columns).(*mat.Dense), py, c)
	}
	without, err := fit(columns - further)
	if err != nil {
		return out, err
	}
	with, err := fit(columns)
	if err != nil {
		return out, err
	}
	hat := without.PredictMatrix(hx.Slice(0, rows, 0, columns-further))
	out.NMAE, out.R2 = forest.NMAE(hy, hat)[0], forest.R2(hy, hat)[0]
	hat = with.PredictMatrix(hx)
	out.With, out.R2With = forest.NMAE(hy, hat)[0], forest.R2(hy, hat)[0]
	for j := columns - further; j < columns; j++ {
		shuffled(hx, j, rand.New(rand.NewPCG(seed, uint64(j))), 1, func() {
			out.ColumnMatters = append(out.ColumnMatters, out.R2With-forest.R2(hy, with.PredictMatrix(hx))[0])
		})
	}
	return out, nil
}

// withPlatform are a model's inputs, and then the platform's columns.
func withPlatform(t *trace.Table, use []int) *mat.Dense {
	x := t.Features()
	rows, columns := x.Dims()
	out := mat.NewDense(rows, columns+len(use), nil)
	for r := range rows {
		copy(out.RawRowView(r), x.RawRowView(r))
		for n, k := range use {
			out.Set(r, columns+n, t.Row(r).Measurement.Platform[k])
		}
	}
	return out
}

// Table lists the scores.
func (p *Platform) Table() figure.Table {
	t := figure.Table{Header: []string{"target", "rows", "NMAE", "NMAE with the platform's columns", "R²", "R² with them"}}
	for _, name := range p.Columns {
		t.Header = append(t.Header, "loss of R² without "+name)
	}
	for _, x := range p.Targets {
		row := []string{x.Target, fmt.Sprint(x.Rows), figure.Number(x.NMAE, 4), figure.Number(x.With, 4), figure.Number(x.R2, 3), figure.Number(x.R2With, 3)}
		for k := range p.Columns {
			row = append(row, figure.Number(x.ColumnMatters[k], 3))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
