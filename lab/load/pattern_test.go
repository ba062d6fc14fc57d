package load

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

// paper are the loads of the paper's services.
var paper = Ranges{{Min: 5, Max: 20}, {Min: 5, Max: 20}}

func TestRandomIsUniformAndIndependent(t *testing.T) {
	const steps = 40_000
	counts := map[[2]float64]int{}
	same := 0
	var before, l mesh.Load
	for step := range steps {
		l = Random{Ranges: paper}.At(l, 1, step)
		counts[[2]float64{l[0], l[1]}]++
		if before != nil && before[0] == l[0] {
			same++
		}
		before = slices.Clone(l)
	}
	// Chi-square with 15 degrees of freedom: 44.3 is its 0.9999 quantile.
	chi := 0.0
	for _, a := range []float64{5, 10, 15, 20} {
		for _, b := range []float64{5, 10, 15, 20} {
			d := float64(counts[[2]float64{a, b}]) - steps/16.
			chi += d * d / (steps / 16.)
		}
	}
	if len(counts) != 16 || chi > 44.3 {
		t.Errorf("%d pairs of loads, chi-square %v", len(counts), chi)
	}
	// A quarter of the steps repeat the load before; four deviations.
	if d := math.Abs(float64(same) - steps/4.); d > 4*math.Sqrt(steps*.25*.75) {
		t.Errorf("%d of %d steps repeat the load before", same, steps)
	}
}

func TestUniform(t *testing.T) {
	const steps = 20_000
	for _, c := range []struct {
		u         Uniform
		low, high float64
	}{
		{Uniform{paper}, 5, 20},
		{Uniform{Ranges{{Max: 8}}}, 0, 8},
		{Uniform{Ranges{{Min: 10, Max: 11}, {Min: 10, Max: 11}, {Min: 10, Max: 11}}}, 10, 11},
	} {
		var l mesh.Load
		sum, squares, n := 0.0, 0.0, 0.0
		for step := range steps {
			l = c.u.At(l, 2, step)
			for _, x := range l {
				if x < c.low || x > c.high {
					t.Fatalf("%v outside [%v, %v]", x, c.low, c.high)
				}
				sum, squares, n = sum+x, squares+x*x, n+1
			}
		}
		mean, width := sum/n, c.high-c.low
		if math.Abs(mean-(c.low+c.high)/2) > 4*width/math.Sqrt(12*n) {
			t.Errorf("%+v: mean %v", c.u, mean)
		}
		if v := squares/n - mean*mean; math.Abs(v/(width*width/12)-1) > .03 {
			t.Errorf("%+v: variance %v, want %v", c.u, v, width*width/12)
		}
	}
	for step := range 100 {
		for _, x := range (Uniform{Ranges{{Min: 5, Max: 20, Quantum: .5}}}).At(nil, 1, step) {
			if x*2 != math.Round(x*2) {
				t.Errorf("%v is no multiple of 0.5", x)
			}
		}
	}
}

// The published runs: T = 600, phases 0 and 2 pi/3, rounded to 0.1.
func TestSinusoidal(t *testing.T) {
	for _, c := range []struct {
		s    Sinusoidal
		t    int
		want mesh.Load
	}{
		{Sinusoidal{Ranges: paper}, 0, mesh.Load{12.5, 19}},
		{Sinusoidal{Ranges: paper}, 50, mesh.Load{16.3, 16.3}},
		{Sinusoidal{Ranges: paper}, 150, mesh.Load{20, 8.8}},
		{Sinusoidal{Ranges: paper}, 450, mesh.Load{5, 16.3}},
		{Sinusoidal{Ranges: paper}, 1650, mesh.Load{5, 16.3}},
		{Sinusoidal{Ranges: append(Ranges{paper[0]}, paper...)}, 0, mesh.Load{12.5, 19, 6}},
		{Sinusoidal{Ranges: Ranges{{Max: 4}, {Max: 4}}, Period: 4, Phase: []float64{0, math.Pi}}, 3, mesh.Load{0, 4}},
		{Sinusoidal{Ranges: Ranges{{Min: 1, Max: 3}, {Min: 100, Max: 300}}, Phase: []float64{0, 0}}, 150, mesh.Load{3, 300}},
		{Sinusoidal{Ranges: paper, Quantum: -1}, 100, mesh.Load{12.5 + 7.5*math.Sin(math.Pi/3), 12.5}},
	} {
		got := c.s.At(nil, 0, c.t)
		for i := range c.want {
			if math.Abs(got[i]-c.want[i]) > 1e-12 {
				t.Errorf("%+v at %d: %v, want %v", c.s, c.t, got, c.want)
			}
		}
	}
	if x := (Sinusoidal{Ranges: paper}).At(nil, 0, 0)[1]; x != 19 {
		t.Errorf("rounding leaves %v", x)
	}
}

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		p    Pattern
		t    int
		want mesh.Load
	}{
		{Constant{Load: paper.Mid()}, 7, mesh.Load{12.5, 12.5}},
		{Constant{Load: mesh.Load{20, 0}}, 7, mesh.Load{20, 0}},
		{Step{Ranges: paper}, 49, mesh.Load{5, 5}},
		{Step{Ranges: paper}, 50, mesh.Load{20, 20}},
		{Step{Ranges: paper}, 100, mesh.Load{5, 5}},
		{Step{Levels: []mesh.Load{{1, 2}, {3, 4}, {5, 6}}, Every: 2}, 11, mesh.Load{5, 6}},
		{Step{Ranges: Ranges{{Min: 1, Max: 3}}}, 50, mesh.Load{3}},
		{Ramp{Ranges: paper}, 0, mesh.Load{5, 5}},
		{Ramp{Ranges: paper}, 20, mesh.Load{10, 10}},
		{Ramp{Ranges: paper}, 60, mesh.Load{20, 20}},
		{Ramp{Ranges: paper}, 99, mesh.Load{20, 20}},
		{Ramp{Ranges: paper}, 130, mesh.Load{12.5, 12.5}},
		{Ramp{Ranges: paper}, 199, mesh.Load{5, 5}},
		{Ramp{Ranges: paper}, 220, mesh.Load{10, 10}},
		{Ramp{Ranges: paper, Up: -1, High: 2, Down: -1, Low: 3}, 6, mesh.Load{20, 20}},
		{Ramp{Ranges: Ranges{{Min: 5, Max: 20, Quantum: .5}}}, 1, mesh.Load{5.5}},
		{Diurnal{Ranges: paper, Noise: -1}, 0, mesh.Load{5, 5}},
		{Diurnal{Ranges: paper, Noise: -1}, 216, mesh.Load{15.5, 15.5}},
		{Diurnal{Ranges: Ranges{{Min: 5, Max: 20, Quantum: .005}}, Noise: -1}, 324, mesh.Load{12.875}},
		{Diurnal{Ranges: paper, Noise: -1}, 504, mesh.Load{20, 20}},
		{Diurnal{Ranges: paper, Noise: -1, Period: 100, Second: 1}, 730, mesh.Load{20, 20}},
		{Diurnal{Ranges: paper, Noise: -1, Shift: []float64{0, .3}}, 0, mesh.Load{5, 20}},
		{FlashCrowd{Ranges: paper, Every: 200}, 249, mesh.Load{5, 5}},
		{FlashCrowd{Ranges: paper, Every: 200}, 252, mesh.Load{11, 5}},
		{FlashCrowd{Ranges: paper, Every: 10}, 100, mesh.Load{20, 5}},
		{FlashCrowd{Ranges: paper}, 49, mesh.Load{5, 5}},
		{FlashCrowd{Ranges: paper}, 52, mesh.Load{11, 5}},
		{FlashCrowd{Ranges: paper}, 55, mesh.Load{20, 5}},
		{FlashCrowd{Ranges: paper}, 94, mesh.Load{20, 5}},
		{FlashCrowd{Ranges: paper}, 105, mesh.Load{12.5, 5}},
		{FlashCrowd{Ranges: paper}, 115, mesh.Load{5, 5}},
		{FlashCrowd{Ranges: Ranges{{Min: 2, Max: 3}, {Min: 2, Max: 8}}, Service: 1, Start: -1, Rise: -1, Hold: 2, Fall: -1}, 0, mesh.Load{2, 8}},
		{FlashCrowd{Ranges: Ranges{{Min: 2, Max: 3}, {Min: 2, Max: 8}}, Service: 1, Start: -1, Rise: -1, Hold: 2, Fall: -1}, 2, mesh.Load{2, 2}},
		{NewReplay("mine", []mesh.Load{{1, 2}, {3, 4}}), 0, mesh.Load{1, 2}},
		{NewReplay("mine", []mesh.Load{{1, 2}, {3, 4}}), 5, mesh.Load{3, 4}},
	} {
		if got := c.p.At(nil, 9, c.t); !slices.Equal(got, c.want) {
			t.Errorf("%s %+v at %d: %v, want %v", c.p.Name(), c.p, c.t, got, c.want)
		}
	}
}

// Every pattern depends on seed and step alone, whatever was asked before.
func TestPatternsArePure(t *testing.T) {
	for _, m := range []Ranges{paper, append(Ranges{{Min: 1, Max: 2, Values: []float64{1, 2}}}, paper...), paper[:1]} {
		for _, name := range []string{"random", "uniform", "sinusoidal", "diurnal", "bursty", "ramp", "step", "flashcrowd", "constant", "constant:7",
			"sinusoidal:jitter=.3", "diurnal:jitter=.3,noise=0", "bursty:shared=1", "ramp:jitter=1", "step:jitter=.5", "flashcrowd:jitter=.5,every=90,service=0",
			"mixed:ramp+constant:7", "switching:random+ramp"} {
			p, err := Parse(name, m)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(name, ":")
			if p.Name() != kind {
				t.Errorf("%s calls itself %s", name, p.Name())
			}
			var forward []mesh.Load
			for step := range 200 {
				forward = append(forward, p.At(nil, 5, step))
			}
			buffer := make(mesh.Load, len(m))
			differs := false
			for step := 199; step >= 0; step-- {
				if got := p.At(buffer, 5, step); !slices.Equal(got, forward[step]) || &got[0] != &buffer[0] {
					t.Fatalf("%s at %d: %v, then %v", name, step, forward[step], got)
				}
				differs = differs || !slices.Equal(p.At(nil, 6, step), forward[step])
			}
			same := []string{"sinusoidal", "ramp", "step", "flashcrowd", "constant", "constant:7"}
			if differs == slices.Contains(same, name) {
				t.Errorf("%s: another seed changes it: %v", name, differs)
			}
			if n := testing.AllocsPerRun(10, func() { p.At(buffer, 5, 3) }); n != 0 {
				t.Errorf("%s allocates %v times a step", name, n)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, words string }{
		{"sinusodal", "random, uniform, sinusoidal, diurnal, bursty, ramp, step, flashcrowd"},
		{"", "accepted: random"},
		{"random:3", "unknown pattern"},
		{"constant:", `"" is not a rate`},
		{"constant:fast", `"fast" is not a rate`},
		{"constant:-1", "finite number >= 0"},
		{"constant:NaN", "finite number >= 0"},
		{"constant:1,2,3", "3 rates; accepted: 1 or 2"},
		{"uniform:", `unknown pattern "uniform:"`},
		{"diurnal:", `unknown option ""; accepted: period, second, noise, correlation, jitter`},
		{"diurnal:peak=1", `unknown option "peak"`},
		{"diurnal:period", `option period is ""; accepted: a whole number from 1 to 1000000`},
		{"diurnal:period=7.5", `option period is "7.5"`},
		{"diurnal:period=1e7", `option period is "1e7"`},
		{"diurnal:period=9,period=9", "option period is there twice"},
		{"ramp:jitter=1.1", `option jitter is "1.1"; accepted: a number from 0 to 1`},
		{"step:jitter=NaN", `option jitter is "NaN"`},
		{"bursty:low=1", "from 2 to 10000"},
		{"flashcrowd:service=3", "from 0 to 2"},
		{"mixed", `unknown pattern ""`},
		{"mixed:random+", `unknown pattern ""`},
		{"mixed:random+switching:ramp", "switching in a mixture"},
		{"switching:random+ramp:now=1", `unknown option "now"`},
		{"switching:random+replay:/no/such+file.csv", "/no/such+file.csv"},
		{"replay", "replay:FILE"},
		{"replay:/no/such/file.csv", "/no/such/file.csv"},
	} {
		if _, err := Parse(c.name, paper); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%q: %v, want %q", c.name, err, c.words)
		}
	}
}

func TestReadReplay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loads.csv")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# a comment\nstep,l2,l1,mark\n0,2,1,\n1,4.5,3,late\n")
	p, err := Parse("replay:"+path, paper)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.At(nil, 0, 3); !slices.Equal(got, mesh.Load{3, 4.5}) || p.(*Replay).Len() != 2 {
		t.Errorf("step 3 is %v, one pass %d", got, p.(*Replay).Len())
	}
	// As other programs save it: a byte order mark, CR at the ends of lines, and
	// an empty line.
	for _, text := range []string{"\ufeffl1,l2\n1,2\n3,4.5\n", "l1,l2\r1,2\r3,4.5\r", "l1,l2\r\n\r\n1,2\r\n3,4.5", "\"l1\",l2\n1,2\n3,\"4.5\"\n"} {
		write(text)
		p, err := ReadReplay(path, 2)
		if err != nil || p.Len() != 2 || !slices.Equal(p.At(nil, 0, 1), mesh.Load{3, 4.5}) {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	many := strings.Repeat("a column of a long name,", 100_000)
	for _, c := range []struct{ text, words string }{
		{"", "no row"},
		{"l1,l2\n", "no row"},
		{"l1,load2\n1,2\n", "line 1: no column l2; its columns are l1, load2"},
		{"L2,l1\n1,2\n", `no column l2 (did you mean "L2"?)`},
		{"l1,l2,l1\n1,2,3\n", `line 1: column "l1" is there twice`},
		{"# head\n\nl1,l2,mark\n1,2,\"a\nb\"\n# c\n3,x,\n", `row 2 (line 7): column l2 is "x"`},
		{"l1,l2\n1,-2\n", `row 1 (line 2): column l2 is "-2"`},
		{"l1,l2\n1,NaN\n", `column l2 is "NaN"`},
		{"l1,l2\n1,2,3\n", "row 1: line 2 has 3 cells; accepted: 2"},
		{"l1,l2\n1,\"2\n", "row 1: line 2: a quoted cell has no end"},
		{"\x1f\x8b\x08\x00", "compressed by gzip"},
		{"\xff\xfel\x001\x00", "UTF-16"},
		{"l1," + strings.ReplaceAll(many, ",", "\n1,"), "no column l2"},
		{"l1,l2\n1," + many, "cells; accepted: 2"},
		{"l1,l2\n1," + strings.ReplaceAll(many, ",", ""), `"a column of a long name`},
	} {
		write(c.text)
		_, err := ReadReplay(path, 2)
		if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), path) || len(err.Error()) > 1000 {
			t.Errorf("%.40q: %v, want %q", c.text, err, c.words)
		}
	}
	if _, err := ReadReplay(filepath.Dir(path), 2); err == nil || !strings.Contains(err.Error(), "a folder; accepted: a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestMistakesPanic(t *testing.T) {
	for name, f := range map[string]func(){
		"destination of another mesh": func() { Random{Ranges: paper}.At(make(mesh.Load, 3), 0, 0) },
		"too few phases":              func() { Sinusoidal{Ranges: paper, Phase: []float64{1}}.At(nil, 0, 0) },
		"too many loads":              func() { Constant{Load: mesh.Load{1, 2, 3}}.At(make(mesh.Load, 2), 0, 0) },
		"no such service":             func() { FlashCrowd{Ranges: paper, Service: 2}.At(nil, 0, 0) },
		"jitter above 1":              func() { Step{Ranges: paper, Jitter: 1.5}.At(nil, 0, 0) },
		"jitter that is no number":    func() { Sinusoidal{Ranges: paper, Jitter: math.NaN()}.At(nil, 0, 0) },
		"ramp of no step":             func() { Ramp{Ranges: paper, Up: -1, High: -1, Down: -1, Low: -1}.At(nil, 0, 0) },
		"too many shifts":             func() { Diurnal{Ranges: paper, Shift: make([]float64, 3)}.At(nil, 0, 0) },
		"peak above the main one":     func() { Diurnal{Ranges: paper, Second: 1.5}.At(nil, 0, 0) },
		"one regime":                  func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5}}}.At(nil, 0, 0) },
		"regime without sojourn":      func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5}, {}}}.At(nil, 0, 0) },
		"sojourn too short":           func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5}, {Sojourn: 1.9}}}.At(nil, 0, 0) },
		"sojourn too long":            func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5}, {Sojourn: 1e5}}}.At(nil, 0, 0) },
		"level above 1":               func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5, Level: 2}, {Sojourn: 5}}}.At(nil, 0, 0) },
		"negative weight":             func() { Bursty{Ranges: paper, Regimes: []Regime{{Sojourn: 5, Weight: -2}, {Sojourn: 5}}}.At(nil, 0, 0) },
		"replay into too few ranges":  func() { NewReplay("x", []mesh.Load{{1, 2}}).Into(paper[:1]) },
		"replay of nothing":           func() { NewReplay("x", nil) },
		"replay of unequal loads":     func() { NewReplay("x", []mesh.Load{{1}, {1, 2}}) },
		"negative rate":               func() { Arrivals(nil, -1, 5, 0, 0, 0) },
		"endless step":                func() { Arrivals(nil, 1, math.Inf(1), 0, 0, 0) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(r.(string), "load: ") {
					t.Errorf("%s: %v", name, r)
				}
			}()
			f()
		}()
	}
}
