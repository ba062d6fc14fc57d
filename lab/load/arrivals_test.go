package load

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// exponentialDistance is the Kolmogorov-Smirnov distance of gaps, each in units
// of its expectation, from the exponential distribution, times the root of
// their number. 1.95 is exceeded with probability 0.001.
func exponentialDistance(gaps []float64) float64 {
	slices.Sort(gaps)
	d, n := 0.0, float64(len(gaps))
	e := distuv.Exponential{Rate: 1}
	for k, g := range gaps {
		f := e.CDF(g)
		d = max(d, f-float64(k)/n, float64(k+1)/n-f)
	}
	return d * math.Sqrt(n)
}

// Steps put end to end are one Poisson process, also across their borders.
func TestArrivalsArePoisson(t *testing.T) {
	for _, rate := range []float64{.5, 5, 20, 200} {
		const seconds = 5
		steps := int(max(40, 20_000/(rate*seconds)))
		var gaps, counts, dst []float64
		last := 0.0
		for step := range steps {
			dst = Arrivals(dst[:0], rate, seconds, 11, step, 0)
			counts = append(counts, float64(len(dst)))
			for _, at := range dst {
				if at < 0 || at >= seconds {
					t.Fatalf("arrival at %v of %v s", at, seconds)
				}
				now := float64(step)*seconds + at
				gaps = append(gaps, (now-last)*rate)
				last = now
			}
			if !slices.IsSorted(dst) {
				t.Fatal("arrivals out of order")
			}
		}
		if d := exponentialDistance(gaps); d > 1.95 {
			t.Errorf("rate %v: Kolmogorov-Smirnov statistic %v", rate, d)
		}
		mean, variance := stat.MeanVariance(counts, nil)
		n := float64(steps)
		if math.Abs(mean-rate*seconds) > 4*math.Sqrt(rate*seconds/n) {
			t.Errorf("rate %v: %v arrivals a step, want %v", rate, mean, rate*seconds)
		}
		if math.Abs(variance/mean-1) > 4*math.Sqrt(2/n+1/(n*mean)) {
			t.Errorf("rate %v: variance of the counts is %v of their mean, want 1", rate, variance/mean)
		}
		if c := stat.Correlation(counts[1:], counts[:steps-1], nil); math.Abs(c) > 4/math.Sqrt(n) {
			t.Errorf("rate %v: counts of neighbouring steps correlate by %v", rate, c)
		}
	}
}

// With a rate that changes each step, gaps measured in expected arrivals are
// still exponential.
func TestArrivalsOfChangingRate(t *testing.T) {
	var gaps, dst []float64
	passed, last := 0.0, 0.0 // expected arrivals up to the step, up to the last arrival
	for step := range 2000 {
		rate := Random{Ranges: paper}.At(nil, 3, step)[0]
		dst = Arrivals(dst[:0], rate, 1, 3, step, 0)
		for _, at := range dst {
			now := passed + rate*at
			gaps = append(gaps, now-last)
			last = now
		}
		passed += rate
	}
	if d := exponentialDistance(gaps); d > 1.95 {
		t.Errorf("Kolmogorov-Smirnov statistic %v of %d gaps", d, len(gaps))
	}
}

func TestArrivalsArePure(t *testing.T) {
	a := Arrivals(nil, 20, 5, 1, 2, 0)
	kept := Arrivals([]float64{-1}, 20, 5, 1, 2, 0)
	if kept[0] != -1 || !slices.Equal(kept[1:], a) {
		t.Error("the same arguments gave another schedule")
	}
	for name, b := range map[string][]float64{
		"seed":    Arrivals(nil, 20, 5, 2, 2, 0),
		"step":    Arrivals(nil, 20, 5, 1, 3, 0),
		"service": Arrivals(nil, 20, 5, 1, 2, 1),
	} {
		if slices.Equal(a, b) {
			t.Errorf("another %s gave the same schedule", name)
		}
	}
	// Ten times as fast is the same schedule in a tenth of the time.
	fast := Arrivals(nil, 200, .5, 1, 2, 0)
	if len(fast) != len(a) {
		t.Fatalf("%d arrivals, scaled %d", len(a), len(fast))
	}
	for k := range a {
		if math.Abs(fast[k]*10-a[k]) > 1e-12 {
			t.Errorf("arrival %d at %v, scaled at %v", k, a[k], fast[k])
		}
	}
	if Arrivals(nil, 0, 5, 1, 2, 0) != nil || Arrivals(nil, 5, 0, 1, 2, 0) != nil {
		t.Error("arrivals without rate or time")
	}
}

// Arrivals must not be predictable from the loads drawn with the same seed.
func TestArrivalsDoNotDependOnLoads(t *testing.T) {
	const steps = 5000
	loads, counts := make([]float64, steps), make([]float64, steps)
	for step := range steps {
		loads[step] = Uniform{Ranges: paper}.At(nil, 1, step)[0]
		counts[step] = float64(len(Arrivals(nil, 10, 5, 1, step, 0)))
	}
	if c := stat.Correlation(loads, counts, nil); math.Abs(c) > 4/math.Sqrt(steps) {
		t.Errorf("correlation %v", c)
	}
}
