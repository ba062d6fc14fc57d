// Package bench measures this project beside its peers: those that are used most,
// scikit-learn and Stable-Baselines3, and the fastest known. All are measured in
// one run, in alternation, on the same data, cores and settings, with a check that
// both sides solve the same task. Compilation and the start of programs are left
// out; what takes one core is measured in processor time.
package bench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/study"
)

// Config says what is measured.
type Config struct {
	Source study.Source
	// Tools is the folder that `make bench` fills: bin/python, which has the peers,
	// and the programs fortio and rows.
	Tools  string
	Peers  string // folder of peer.py
	Rounds int    // alternations; default 5
	// Only, if set, are parts of names: a peer is measured where one is part of the
	// name of one of its cases, and our side likewise, group by group.
	Only []string
	// Log, if set, is told what is done.
	Log func(format string, args ...any)
}

func (cfg Config) log(format string, args ...any) {
	if cfg.Log != nil {
		cfg.Log(format, args...)
	}
}

// Spread is a median over the rounds, with the extremes.
type Spread struct {
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
}

// Case is one thing that is measured.
type Case struct {
	Case  string `json:"case"`
	Unit  string `json:"unit"`
	Cores int    `json:"cores"`
	Ours  Spread `json:"ours"`
	Check string `json:"check,omitempty"` // what shows that both sides solve the same task
	Peers []Peer `json:"peers,omitempty"` // the fastest first
}

// Peer is what another gave in a case.
type Peer struct {
	Peer  string `json:"peer"`
	Value Spread `json:"value"`
	// Ratio is how many times ours is better, by the rounds' ratios.
	Ratio Spread `json:"ratio"`
	Check string `json:"check,omitempty"`
}

// Report is what a run gave.
type Report struct {
	Cases   []Case            `json:"cases"`
	Missing map[string]string `json:"missing,omitempty"` // why a peer was not measured, by peer
}

// kind is a case as it is listed. Less is better, unless it is a rate.
type kind struct {
	name, unit string
	cores      int
}

func (k kind) rate() bool { return strings.Contains(k.unit, " per ") }

// result is what one side gave in one round, and what shows that it is right.
type result struct {
	Value  float64
	Checks map[string]float64
}

// results are those of one side in one round, by case. A goal that was not
// reached has none.
type results map[string]result

// Run measures all cases.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Rounds == 0 {
		cfg.Rounds = 5
	}
	d, err := prepare(ctx, cfg)
	if err != nil {
		return Report{}, err
	}
	dir, err := os.MkdirTemp("", "meshbench-bench-")
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	var ours []results
	theirs := map[string][]results{} // by peer; nil in a round in which one was not measured
	report := Report{Missing: map[string]string{}}
	for round := range cfg.Rounds {
		cfg.log("round %d of %d", round+1, cfg.Rounds)
		got, err := d.ours(ctx, uint64(round))
		if err != nil {
			return Report{}, err
		}
		ours = append(ours, got)
		if round == 0 { // the same in all of them
			if err := d.write(dir); err != nil {
				return Report{}, err
			}
		}
		if err := d.begin(dir, round); err != nil {
			return Report{}, err
		}
		for _, p := range peers {
			if p.once && round > 0 || !cfg.wants(p.cases...) {
				continue
			}
			name, got, err := cfg.measure(ctx, d, p, dir)
			if ctx.Err() != nil {
				return Report{}, ctx.Err()
			}
			if err != nil {
				report.Missing[p.name] = err.Error()
				cfg.log("  %s: not measured: %v", p.name, err)
				continue
			}
			cfg.log("  %s", name)
			if theirs[name] == nil {
				theirs[name] = make([]results, cfg.Rounds)
			}
			theirs[name][round] = got
		}
	}
	for _, k := range kinds() {
		if c, ok := compare(k, ours, theirs); ok {
			report.Cases = append(report.Cases, c)
		}
	}
	return report, nil
}

// wants reports whether one of the cases is to be measured.
func (cfg Config) wants(cases ...string) bool {
	return len(cfg.Only) == 0 || slices.ContainsFunc(cases, func(c string) bool {
		return slices.ContainsFunc(cfg.Only, func(o string) bool { return strings.Contains(c, o) })
	})
}

// compare puts the rounds of a case together; false where neither side has it.
func compare(k kind, ours []results, theirs map[string][]results) (Case, bool) {
	c := Case{Case: k.name, Unit: k.unit, Cores: k.cores, Ours: spread(values(ours, k.name)), Check: checks(ours, k.name)}
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		list := theirs[name]
		p := Peer{Peer: name, Value: spread(values(list, k.name)), Check: checks(list, k.name)}
		if math.IsNaN(p.Value.Median) {
			continue
		}
		var ratios []float64
		for round := range ours {
			r := value(list[round], k.name) / value(ours[round], k.name)
			if k.rate() {
				r = 1 / r
			}
			ratios = append(ratios, r)
		}
		p.Ratio = spread(ratios)
		c.Peers = append(c.Peers, p)
	}
	slices.SortStableFunc(c.Peers, func(a, b Peer) int { return cmp.Compare(a.Ratio.Median, b.Ratio.Median) })
	return c, !math.IsNaN(c.Ours.Median)
}

// value is NaN where a case has none.
func value(r results, name string) float64 {
	if x, ok := r[name]; ok {
		return x.Value
	}
	return math.NaN()
}

func values(rounds []results, name string) (v []float64) {
	for _, r := range rounds {
		v = append(v, value(r, name))
	}
	return v
}

// spread leaves out what is missing; it is NaN when all are.
func spread(v []float64) Spread {
	v = slices.DeleteFunc(v, math.IsNaN)
	if len(v) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN()}
	}
	return Spread{median.Of(v), slices.Min(v), slices.Max(v)}
}

// checks are the medians over the rounds of what shows that a case is right, and
// in how many rounds it has a value where not in all.
func checks(rounds []results, name string) string {
	all := map[string][]float64{}
	n := 0
	for _, r := range rounds {
		if x, ok := r[name]; ok {
			n++
			for k, v := range x.Checks {
				all[k] = append(all[k], v)
			}
		}
	}
	var out []string
	if n > 0 && n < len(rounds) {
		out = append(out, fmt.Sprintf("in %d of %d rounds", n, len(rounds)))
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		out = append(out, fmt.Sprintf("%s %.4g", k, median.Of(all[k])))
	}
	return strings.Join(out, ", ")
}
