package anr

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/lab/internal/median"
)

// Interval is a statistic with its 95 % bootstrap interval.
type Interval struct {
	Value, Lo, Hi float64
}

func (i Interval) String() string { return fmt.Sprintf("%.3f [%.3f, %.3f]", i.Value, i.Lo, i.Hi) }

const resamples = 2000

// Median is the median over runs (seeds) with its percentile bootstrap
// interval; the same values give the same interval. NaN values are left out;
// without any, all is NaN.
func Median(values []float64) Interval {
	return bootstrap(values, median.Of)
}

// Mean is the mean over runs with its percentile bootstrap interval.
func Mean(values []float64) Interval {
	return bootstrap(values, func(v []float64) float64 { return stat.Mean(v, nil) })
}

// IQM is the interquartile mean over runs (Agarwal et al., "Deep Reinforcement
// Learning at the Edge of the Statistical Precipice", 2021) with its percentile
// bootstrap interval.
func IQM(values []float64) Interval {
	return bootstrap(values, iqm)
}

// iqm is the mean of the middle half; values on its edge count in part.
func iqm(v []float64) float64 {
	slices.Sort(v)
	cut := float64(len(v)) / 4
	sum := 0.0
	for k, x := range v {
		lo, hi := max(float64(k), cut), min(float64(k+1), float64(len(v))-cut)
		if hi > lo {
			sum += float64(x * (hi - lo))
		}
	}
	return sum / (float64(len(v)) / 2)
}

// bootstrap applies f, which may reorder its argument, to the values and to
// resamples of them.
func bootstrap(values []float64, f func([]float64) float64) Interval {
	var v []float64
	for _, x := range values {
		if !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return Interval{math.NaN(), math.NaN(), math.NaN()}
	}
	rng := rand.New(rand.NewPCG(uint64(len(v)), 0x626f6f74))
	draws := make([]float64, resamples)
	again := make([]float64, len(v))
	for k := range draws {
		for i := range again {
			again[i] = v[rng.IntN(len(v))]
		}
		draws[k] = f(again)
	}
	slices.Sort(draws)
	return Interval{
		Value: f(slices.Clone(v)),
		Lo:    stat.Quantile(.025, stat.Empirical, draws, nil),
		Hi:    stat.Quantile(.975, stat.Empirical, draws, nil),
	}
}

// Comparison is how policy A does against policy B in pairs of runs.
type Comparison struct {
	Difference  Interval // median of ANR(A) - ANR(B)
	Improvement float64  // fraction of the pairs in which A is better, ties counting half
	Pairs       int
}

// Compare pairs the k-th run of a with the k-th of b. They must have had the
// same objective, load pattern, environment, seed and number of steps.
func Compare(a, b []Run) (Comparison, error) {
	if len(a) != len(b) || len(a) == 0 {
		return Comparison{}, fmt.Errorf("anr: compare %d runs with %d; they come in pairs", len(a), len(b))
	}
	var diff []float64
	better := 0.0
	for k := range a {
		x, y := a[k], b[k]
		if x.Objective != y.Objective || x.Pattern != y.Pattern || x.Environment != y.Environment || x.Seed != y.Seed || len(x.Steps) != len(y.Steps) {
			return Comparison{}, fmt.Errorf("anr: pair %d: %s/%s/%s seed %d with %d steps against %s/%s/%s seed %d with %d", k+1,
				x.Objective, x.Pattern, x.Environment, x.Seed, len(x.Steps), y.Objective, y.Pattern, y.Environment, y.Seed, len(y.Steps))
		}
		d := x.ANR() - y.ANR()
		diff = append(diff, d)
		switch {
		case d > 0:
			better++
		case d == 0:
			better += .5
		}
	}
	return Comparison{Difference: Median(diff), Improvement: better / float64(len(a)), Pairs: len(a)}, nil
}
