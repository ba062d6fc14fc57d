package load

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Noise has mean 0 and variance 1 wherever a step is between two draws, and is
// correlated over as many steps as it says.
func TestNoise(t *testing.T) {
	const every, n = 10, 20_000
	lag := map[int]float64{}
	for _, at := range []int{0, 1, 5, 9} {
		var x []float64
		for k := range n {
			x = append(x, noise(4, at+every*k, every, 0))
		}
		mean, variance := stat.MeanVariance(x, nil)
		if math.Abs(mean) > 4*math.Sqrt(2./n) || math.Abs(variance-1) > 4*math.Sqrt(4./n) {
			t.Errorf("step %d of %d: mean %v, variance %v", at, every, mean, variance)
		}
	}
	var all []float64
	for k := range n {
		all = append(all, noise(5, k, every, 1))
	}
	for _, k := range []int{1, 5, 10, 20} {
		lag[k] = stat.Correlation(all[k:], all[:n-k], nil)
	}
	if !(lag[1] > .97 && lag[5] > .6 && lag[10] > .15 && lag[10] < .5 && math.Abs(lag[20]) < .1) {
		t.Errorf("autocorrelation %v", lag)
	}
}

// A day is smooth, also from one day to the next, and its noise is relative to
// the load.
func TestDiurnal(t *testing.T) {
	ranges := Ranges{{Min: 10, Max: 100}, {Min: 1, Max: 10}}
	clean := Diurnal{Ranges: ranges, Noise: -1, Jitter: 1}
	before := clean.At(nil, 3, 0)
	for step := range 5000 {
		l := clean.At(nil, 3, step)
		// The steepest part is the fall from the main peak, pi/2 / (.3 period).
		if math.Abs(l[0]-before[0]) > 90*math.Pi/2/216*1.001 {
			t.Fatalf("from %v to %v in step %d", before, l, step)
		}
		before = l
	}
	noisy := Diurnal{Ranges: ranges, Noise: .1}
	clean.Jitter = 0
	var a, b []float64
	for step := range 40_000 {
		c, l := clean.At(nil, 3, step), noisy.At(nil, 3, step)
		if !(l[0] >= 10 && l[0] <= 100 && l[1] >= 1 && l[1] <= 10) {
			t.Fatalf("load %v in step %d", l, step)
		}
		if c[0] > 20 && c[0] < 60 { // far from the ends of the range
			a, b = append(a, math.Log(l[0]/c[0])), append(b, math.Log(l[1]/c[1]))
		}
	}
	mean, sd := stat.MeanStdDev(a, nil)
	if math.Abs(sd-.1) > .01 || math.Abs(mean+.005) > .01 {
		t.Errorf("log of the noise has mean %v, deviation %v", mean, sd)
	}
	if c := stat.Correlation(a, b, nil); math.Abs(c) > .1 {
		t.Errorf("noise of two services correlates by %v", c)
	}
}

// Shares, sojourns and jumps of a chain of three regimes are the ones it says.
func TestBursty(t *testing.T) {
	regimes := []Regime{{Level: 0, Sojourn: 20, Weight: 2}, {Level: .5, Sojourn: 10}, {Level: 1, Sojourn: 5}}
	b := Bursty{Ranges: Ranges{{Min: 0, Max: 2}, {Min: 0, Max: 2}}, Regimes: regimes}
	const steps = 200_000
	steady := []float64{2 * .5 * 20, .75 * 10, .75 * 5}
	total := steady[0] + steady[1] + steady[2]
	share, jumps := make([]float64, 3), [3][3]float64{}
	sojourns := make([][]float64, 3)
	length, same := 0.0, 0
	last := int(b.At(nil, 8, 0)[0])
	l := make(mesh.Load, 2)
	for step := range steps {
		now := int(b.At(l, 8, step)[0])
		if l[0] == l[1] {
			same++
		}
		share[now]++
		if now == last {
			length++
			continue
		}
		jumps[last][now]++
		sojourns[last] = append(sojourns[last], length)
		last, length = now, 1
	}
	alike := 0.0
	for k, r := range regimes {
		want := steady[k] / total
		alike += want * want
		if got := share[k] / steps; math.Abs(got-want) > .015 {
			t.Errorf("regime %d in %.3f of the steps, want %.3f", k, got, want)
		}
		n := float64(len(sojourns[k]))
		mean, sd := stat.MeanStdDev(sojourns[k], nil)
		// A geometric number of mean s has deviation sqrt(s (s-1)).
		if d := math.Sqrt(r.Sojourn * (r.Sojourn - 1)); math.Abs(mean-r.Sojourn) > 4*d/math.Sqrt(n) || math.Abs(sd/d-1) > .08 {
			t.Errorf("regime %d lasts %.2f steps, deviation %.2f; want %v, %.2f", k, mean, sd, r.Sojourn, d)
		}
	}
	for from, to := range map[int][3]float64{0: {0, .5, .5}, 1: {2. / 3, 0, 1. / 3}, 2: {2. / 3, 1. / 3, 0}} {
		n := float64(len(sojourns[from]))
		for k, want := range to {
			if got := jumps[from][k] / n; math.Abs(got-want) > 4*.5/math.Sqrt(n) {
				t.Errorf("from regime %d to %d with probability %.3f, want %.3f", from, k, got, want)
			}
		}
	}
	if got := float64(same) / steps; math.Abs(got-alike) > .02 {
		t.Errorf("two services in the same regime in %.3f of the steps, want %.3f", got, alike)
	}
	b.Shared = true
	for step := range 1000 {
		if b.At(l, 8, step); l[0] != l[1] {
			t.Fatalf("services apart in step %d", step)
		}
	}
}

// The chain is stationary from the first step on, and a late step costs no more.
func TestBurstyIsStationary(t *testing.T) {
	b := Bursty{Ranges: Ranges{{Min: 0, Max: 1}}}
	const seeds = 20_000
	for _, step := range []int{0, 1, 1e12} {
		high := 0.0
		for seed := range uint64(seeds) {
			high += b.At(nil, seed, step)[0]
		}
		if got := high / seeds; math.Abs(got-.2) > 4*math.Sqrt(.16/seeds) {
			t.Errorf("high in %.3f of the runs at step %d, want .2", got, step)
		}
	}
}

// Jitter moves events in time and height as far as it says, and no further.
func TestJitter(t *testing.T) {
	low, high := math.Inf(1), math.Inf(-1)
	track := func(x float64) { low, high = min(low, x), max(high, x) }
	within := func(what string, from, to float64) {
		t.Helper()
		if low < from || high > to || high-low < .9*(to-from) {
			t.Errorf("%s from %v to %v; want most of %v to %v", what, low, high, from, to)
		}
		low, high = math.Inf(1), math.Inf(-1)
	}
	run := func(p Pattern, seed uint64, steps int) (x []float64) {
		for step := range steps {
			x = append(x, p.At(nil, seed, step)[0])
		}
		return x
	}
	one := Ranges{{Min: 0, Max: 1}}
	above := func(x []float64) int { return slices.IndexFunc(x, func(v float64) bool { return v > .5 }) }

	crowd := FlashCrowd{Ranges: one, Jitter: .5, Rise: -1, Fall: -1}
	var begins, peaks, holds []float64
	for seed := range uint64(500) {
		x := run(crowd, seed, 200)
		peaks, begins = append(peaks, slices.Max(x)), append(begins, float64(above(x)))
		n := 0.0
		for _, v := range x {
			if v > 0 {
				n++
			}
		}
		holds = append(holds, n)
	}
	for _, c := range []struct {
		what     string
		x        []float64
		from, to float64
	}{{"begin", begins, 25, 75}, {"peak", peaks, .75, 1}, {"hold", holds, 20, 60}} {
		for _, v := range c.x {
			track(v)
		}
		within("a crowd's "+c.what, c.from, c.to)
	}
	if c := stat.Correlation(begins, peaks, nil); math.Abs(c) > .2 {
		t.Errorf("when and how high a crowd is correlate by %v", c)
	}

	step := Step{Ranges: one, Jitter: .8}
	for seed := range uint64(500) {
		x := run(step, seed, 100)
		track(float64(above(x)))
	}
	within("the first change", 30, 70)
	for seed := range uint64(500) {
		track(step.At(nil, seed, 10)[0])
	}
	within("a low level", 0, .4)
	ramp := Ramp{Ranges: one, Jitter: 1}
	for seed := range uint64(500) {
		x := run(ramp, seed, 200)
		if x[199] > .02 {
			t.Fatalf("a ramp does not come down by the end of its cycle: %v", x[199])
		}
		track(float64(slices.IndexFunc(x, func(v float64) bool { return v > 0 }) - 1))
	}
	within("a ramp's begin", 0, 40)
	sine := Sinusoidal{Ranges: one, Jitter: .5, Quantum: -1}
	for seed := range uint64(500) {
		x := run(sine, seed, 600)
		for k, v := range x {
			if v == slices.Max(x) {
				track(float64(k))
				break
			}
		}
	}
	within("a sine's peak", 0, 300)
}

// However crowds are moved, none begins or ends half-way.
func TestCrowdsAreWhole(t *testing.T) {
	for seed := range uint64(50) {
		f := FlashCrowd{Ranges: Ranges{{Min: 0, Max: 1}}, Every: 60, Jitter: 1, Start: -1, Rise: 5, Hold: 20, Fall: 10}
		before := f.At(nil, seed, 0)[0]
		for step := 1; step < 2000; step++ {
			now := f.At(nil, seed, step)[0]
			if now-before > .2001 || before-now > .1001 {
				t.Fatalf("seed %d: from %v to %v in step %d", seed, before, now, step)
			}
			before = now
		}
	}
}

// Crowds that come again hit each service alike where it is drawn.
func TestCrowds(t *testing.T) {
	f := FlashCrowd{Ranges: append(Ranges{paper[0]}, paper...), Service: -1, Every: 100}
	hit := make([]int, 3)
	for k := range 3000 {
		l := f.At(nil, 1, 100*k+80)
		if sum := l[0] + l[1] + l[2]; sum != 30 {
			t.Fatalf("load %v in crowd %d", l, k)
		}
		hit[slices.Index(l, 20)]++
	}
	for i, n := range hit {
		if n < 900 || n > 1100 {
			t.Errorf("service %d hit by %d of 3000 crowds", i, n)
		}
	}
}

// Switching keeps a pattern for its block and takes all alike; its text tells
// patterns of the same fields apart.
func TestSwitching(t *testing.T) {
	s := Switching{Patterns: []Pattern{Constant{mesh.Load{1}}, Constant{mesh.Load{2}}}, Every: 7}
	ones := 0
	for k := range 2000 {
		first := s.At(nil, 3, 7*k)[0]
		for step := 7 * k; step < 7*k+7; step++ {
			if got := s.At(nil, 3, step)[0]; got != first {
				t.Fatalf("step %d: %v, not %v", step, got, first)
			}
		}
		if first == 1 {
			ones++
		}
	}
	if ones < 900 || ones > 1100 {
		t.Errorf("the first of two patterns in %d of 2000 blocks", ones)
	}
	texts := map[string]bool{}
	for _, p := range []Pattern{
		Switching{Patterns: []Pattern{Random{Ranges: paper}}}, Switching{Patterns: []Pattern{Uniform{Ranges: paper}}},
		Switching{Patterns: []Pattern{Uniform{Ranges: paper}}, Every: 3},
		NewReplay("a", []mesh.Load{{1}}), NewReplay("a", []mesh.Load{{2}}), NewReplay("a", []mesh.Load{{2}}).FromAnyRow(),
	} {
		b, err := json.Marshal(p)
		if err != nil || texts[string(b)] {
			t.Errorf("%s: %s is there twice (%v)", p.Name(), b, err)
		}
		texts[string(b)] = true
	}
}

// A recording of another system is mapped into the ranges; runs of seeds begin
// where they draw.
func TestReplayInto(t *testing.T) {
	r := NewReplay("day", []mesh.Load{{100, 7}, {300, 7}, {200, 7}}).Into(Ranges{{Min: 5, Max: 20}, {Min: 0, Max: 3}})
	for step, want := range []mesh.Load{{5, 1.5}, {20, 1.5}, {12.5, 1.5}, {5, 1.5}} {
		if got := r.At(nil, 9, step); !slices.Equal(got, want) {
			t.Errorf("step %d: %v, want %v", step, got, want)
		}
	}
	any := r.FromAnyRow()
	first := map[float64]int{}
	for seed := range uint64(3000) {
		x := any.At(nil, seed, 0)[0]
		first[x]++
		if next := any.At(nil, seed, 1)[0]; next != map[float64]float64{5: 20, 20: 12.5, 12.5: 5}[x] {
			t.Fatalf("%v after %v", next, x)
		}
	}
	for x, n := range first {
		if n < 900 || n > 1100 {
			t.Errorf("%d of 3000 runs begin with %v", n, x)
		}
	}
}

// Options set the fields that have their names.
func TestParseOptions(t *testing.T) {
	for name, want := range map[string]Pattern{
		"sinusoidal:period=100,jitter=.5":                           Sinusoidal{Ranges: paper, Period: 100, Jitter: .5},
		"diurnal:period=360,second=.5,noise=0,correlation=3":        Diurnal{Ranges: paper, Period: 360, Second: .5, Noise: -1, Correlation: 3},
		"bursty:low=30,high=3,shared=1":                             Bursty{Ranges: paper, Regimes: []Regime{{0, 30, 0}, {1, 3, 0}}, Shared: true},
		"ramp:up=0,high=9,down=8,low=0,jitter=1":                    Ramp{Ranges: paper, Up: -1, High: 9, Down: 8, Low: -1, Jitter: 1},
		"step:every=9,jitter=.1":                                    Step{Ranges: paper, Every: 9, Jitter: .1},
		"flashcrowd:service=2,start=0,rise=0,hold=4,fall=0,every=5": FlashCrowd{Ranges: paper, Service: 1, Start: -1, Rise: -1, Hold: 4, Fall: -1, Every: 5},
		"flashcrowd:service=0":                                      FlashCrowd{Ranges: paper, Service: -1},
		"mixed:random+constant:3,4":                                 Mixed{Random{Ranges: paper}, Constant{mesh.Load{3, 4}}},
		"switching:ramp:up=3+uniform":                               Switching{Patterns: []Pattern{Ramp{Ranges: paper, Up: 3}, Uniform{Ranges: paper}}},
	} {
		got, err := Parse(name, paper)
		if err != nil {
			t.Error(err)
			continue
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if got.Name() != want.Name() || string(a) != string(b) {
			t.Errorf("%s: %s, want %s", name, a, b)
		}
	}
	if defaultRegimes[0].Sojourn != 60 {
		t.Error("an option changed the defaults")
	}
}

func BenchmarkBursty(b *testing.B) {
	p := Bursty{Ranges: paper}
	l := make(mesh.Load, 2)
	for k := 0; b.Loop(); k++ {
		p.At(l, 1, k)
	}
}
