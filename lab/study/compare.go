package study

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math"

	"meshbench/lab/figure"
	"meshbench/lab/forest"
	"meshbench/lab/objective"
	"meshbench/lab/sim"
	"meshbench/lab/trace"
)

// Candidate is a system model that a source may be learned with.
type Candidate struct {
	Name   string
	Source Source
}

// Candidates are the models that Compare compares on a source: the one that is
// used first, each other one with something changed.
func Candidates(s Source) []Candidate {
	with := func(name string, change func(*Source)) Candidate {
		c := Candidate{name, s}
		change(&c.Source)
		return c
	}
	joint := func(s *Source) { s.Structure, s.Forest = sim.Joint, corrected() }
	if s.Kind == sim.AsPublished {
		separate := func(s *Source) { s.Separate, s.Forest = true, forest.Config{Trees: 60, MinLeaf: 8} }
		return []Candidate{
			{"authors' settings", s},
			with("leaves of 5", func(s *Source) { s.Forest.MinLeaf = 5 }),
			with("a forest per delay, leaves of 8", separate),
			with("the same, medians", func(s *Source) { separate(s); s.Median = 1 }),
			{"extremely randomised, leaves of 8", s.extremelyRandomised(0)},
			{"the same, means and medians", s.extremelyRandomised(.7)},
			{"the same, medians", s.extremelyRandomised(1)},
		}
	}
	if s.Structure == sim.Joint { // the published trace, corrected
		return []Candidate{
			{"joint, leaves of 5", s},
			with("joint, full depth", func(s *Source) { s.Forest.MinLeaf = 1 }),
			with("joint, leaves of 20", func(s *Source) { s.Forest.MinLeaf = 20 }),
			with("joint, leaves of 5, medians", func(s *Source) { s.Median = 1 }),
		}
	}
	list := []Candidate{
		{fmt.Sprintf("per node, leaves of %d, settled", s.Forest.MinLeaf), s},
		with("the same, reward of the mean delay", func(s *Source) { s.Expected = false }),
		with("the same, all rows", func(s *Source) { s.Settle = 0 }),
	}
	for _, leaf := range []int{20, 40, 160} {
		list = append(list, with(fmt.Sprintf("per node, leaves of %d, settled", leaf), func(s *Source) { s.Forest.MinLeaf = leaf }))
	}
	return append(list,
		with("joint, leaves of 5, settled", joint),
		with("the same, reward of the mean delay", func(s *Source) { joint(s); s.Expected = false }),
		with("joint, leaves of 20, settled", func(s *Source) { joint(s); s.Forest.MinLeaf = 20 }),
		with("the paper's: joint, all rows, full depth, reward of the mean delay", func(s *Source) { joint(s); s.Forest.MinLeaf, s.Settle, s.Expected = 1, 0, false }),
	)
}

// extremelyRandomised predicts the delays of the published trace as published
// best: a forest for each, of random thresholds, the median of the leaves' rows
// having the given weight. Medians lower the absolute error, means the squared
// one.
func (s Source) extremelyRandomised(median float64) Source {
	s.Separate, s.Median = true, median
	s.Forest = forest.Config{Trees: 60, MinLeaf: 8, RandomSplits: true, NoBootstrap: true}
	return s
}

// Compared is what a candidate scored, means over splits.
type Compared struct {
	Model  string
	Scores []Score
	// Rewards[o] is R2 of the reward of a step under objective o of the paper,
	// as foreseen and as measured; nil where loads are too many to foresee all
	// of their actions.
	Rewards []float64
}

// Compare cross-validates the candidates of a source: each is fitted to 70 % of
// the rows, and of the actions, of several splits, and scored on the rest. All
// are scored on the same rows, those that settled if the source's model looks
// at those.
func Compare(ctx context.Context, s Source, by string, splits int, progress func(stage string, done, total int)) ([]Compared, error) {
	list := Candidates(s)
	out := make([]Compared, len(list))
	sound := marked(sim.SettledRows(s.Trace, s.Settle), s.Trace.Len())
	for seed := range splits {
		learn, test := s.Trace.SplitRows(trace.Split{Seed: uint64(seed), ByAction: by == "action"})
		held := s.Trace.Subset(where(test, sound))
		for k, c := range list {
			if progress != nil {
				progress(fmt.Sprintf("comparing models of %s by %s", s.Name, by), seed*len(list)+k, splits*len(list))
			}
			rows := s.Trace.Subset(where(learn, marked(sim.SettledRows(s.Trace, c.Source.Settle), s.Trace.Len())))
			model, err := c.Source.learn(ctx, rows, uint64(seed))
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", c.Name, err)
			}
			scores, err := score(s, by, model, rows, held)
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", c.Name, err)
			}
			rewards, err := c.Source.foreseen(model, held)
			if err != nil {
				return nil, fmt.Errorf("model %q: %w", c.Name, err)
			}
			out[k].Model = c.Name
			out[k].add(scores, rewards, 1/float64(splits))
		}
	}
	return out, nil
}

// add adds shares of the scores of a split.
func (c *Compared) add(scores []Score, rewards []float64, share float64) {
	if c.Scores == nil {
		c.Rewards = make([]float64, len(rewards))
		for _, s := range scores {
			c.Scores = append(c.Scores, Score{Trace: s.Trace, Split: s.Split, Target: s.Target})
		}
	}
	for k, s := range scores {
		c.Scores[k].NMAE += share * s.NMAE
		c.Scores[k].R2 += share * s.R2
		c.Scores[k].Naive += share * s.Naive
	}
	for o, v := range rewards {
		c.Rewards[o] += share * v
	}
}

func marked(rows []int, n int) []bool {
	m := make([]bool, n)
	for _, r := range rows {
		m[r] = true
	}
	return m
}

func where(rows []int, mark []bool) []int {
	var out []int
	for _, r := range rows {
		if mark[r] {
			out = append(out, r)
		}
	}
	return out
}

// foreseen scores the rewards that the model foresees for the rows of a trace.
func (s Source) foreseen(model *sim.Model, t *trace.Table) ([]float64, error) {
	const most = 64 // distinct loads
	loads := map[string]bool{}
	for r := range t.Len() {
		if loads[fmt.Sprint(t.Row(r).Load)] = true; len(loads) > most {
			return nil, nil
		}
	}
	var out []float64
	for _, o := range objective.Paper() {
		o = s.Objective(o)
		rewards, err := s.Rewards(model, o)
		if err != nil {
			return nil, err
		}
		e, err := o.Bind(model.Mesh())
		if err != nil {
			return nil, err
		}
		var y, hat []float64
		for r := range t.Len() {
			row := t.Row(r)
			table, err := rewards.At(row.Load)
			if err != nil {
				return nil, err
			}
			k, ok := model.Space().Index(row.Action)
			if v := e.Reward(row.Load, row.Action, row.Measurement); ok && !math.IsNaN(v) {
				y, hat = append(y, v), append(hat, table.Reward[k])
			}
		}
		out = append(out, forest.R2(column(y), column(hat))[0])
	}
	return out, nil
}

// Reference is what scikit-learn's forest scores on the published trace with
// the authors' settings.
type Reference struct {
	Version string
	Splits  int
	Scores  []struct {
		Split, Target string
		NMAE, R2      float64
	}
}

//go:embed testdata/sklearn_forest.json
var sklearn []byte

// ScikitLearn returns the stored scores of scikit-learn's forest, which
// testdata/sklearn_forest.py made.
func ScikitLearn() (Reference, error) {
	var r Reference
	if err := json.Unmarshal(sklearn, &r); err != nil {
		return r, fmt.Errorf("study: scores of scikit-learn: %w", err)
	}
	return r, nil
}

// ModelTable compares the models of a source: a row for each model and way to
// split, with NMAE and R2 of every d_ij and R2 of the rewards. The first row
// holds the NMAE of predicting the mean.
func (r *Result) ModelTable(ctx context.Context, s Source) (figure.Table, error) {
	t := figure.Table{Header: []string{"model", "split by"}}
	m := s.Trace.Mesh()
	nodes := m.M() * m.N()
	targets := sim.Targets(m, s.Kind)[:nodes]
	for _, name := range targets {
		t.Header = append(t.Header, "NMAE "+name)
	}
	for _, name := range targets {
		t.Header = append(t.Header, "R² "+name)
	}
	if s.Kind == sim.Measured {
		for _, o := range objective.Paper() {
			t.Header = append(t.Header, "R² reward "+o.Name)
		}
	}
	row := func(name, by string, nmae, r2, rewards []float64) {
		cells := []string{name, by}
		for _, v := range nmae {
			cells = append(cells, figure.Number(v, 4))
		}
		for _, v := range append(r2, rewards...) {
			cells = append(cells, figure.Number(v, 3))
		}
		for len(cells) < len(t.Header) {
			cells = append(cells, "")
		}
		t.Rows = append(t.Rows, cells)
	}
	for _, by := range []string{"row", "action"} {
		compared, err := Do(r.Config.Cache, "compare", append(s.key(), by, r.Config.Splits), func() ([]Compared, error) {
			return Compare(ctx, s, by, r.Config.Splits, r.Config.Progress)
		})
		if err != nil {
			return t, err
		}
		if s.Kind == sim.AsPublished {
			peer, err := ScikitLearn()
			if err != nil {
				return t, err
			}
			var nmae, r2 []float64
			for _, x := range peer.Scores {
				if x.Split == by {
					nmae, r2 = append(nmae, x.NMAE), append(r2, x.R2)
				}
			}
			row(peer.Version+", authors' settings", by, nmae, r2, nil)
		}
		for k, c := range compared {
			var nmae, r2, naive []float64
			for _, x := range c.Scores[:nodes] {
				nmae, r2, naive = append(nmae, x.NMAE), append(r2, x.R2), append(naive, x.Naive)
			}
			if k == 0 {
				row("the mean of the rows learned from", by, naive, nil, nil)
			}
			row(c.Model, by, nmae, r2, c.Rewards)
		}
	}
	return t, nil
}
