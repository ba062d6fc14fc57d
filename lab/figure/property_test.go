package figure

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gonum.org/v1/plot/vg"
)

// wild makes what a caller may give: any number, name and length.
type wild struct{ *rand.Rand }

func (w wild) value() float64 {
	switch w.IntN(14) {
	case 0:
		return math.NaN()
	case 1:
		return 0
	case 2:
		return -w.Float64()
	case 3:
		return w.NormFloat64() * 1e300
	case 4:
		return w.Float64() * 1e-300
	case 5:
		return []float64{math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), 1.7e18, math.Copysign(0, -1)}[w.IntN(7)]
	case 6:
		return 1 + 1e-4*w.NormFloat64()
	case 7:
		return math.Exp(40 * w.NormFloat64())
	}
	return w.NormFloat64()
}

// values are of one sort or of all.
func (w wild) values(n int) []float64 {
	v := make([]float64, n)
	sort, base := w.IntN(6), w.value()
	for k := range v {
		switch sort {
		case 0:
			v[k] = base
		case 1:
			v[k] = math.NaN()
		case 2:
			v[k] = w.Float64()
		case 3:
			v[k] = base + float64(k)
		default:
			v[k] = w.value()
		}
	}
	return v
}

func (w wild) name() string {
	switch w.IntN(8) {
	case 0:
		return ""
	case 1:
		return strings.Repeat("a long name ", 1+w.IntN(30))
	case 2:
		return strings.Repeat("W", w.IntN(200))
	case 3:
		return "R² of −0.3, 中文 \U0001F600 \xff <b> & \"quoted\"\n\ttwo\x00 lines"
	}
	return fmt.Sprintf("policy %d", w.IntN(20))
}

func (w wild) names(n int) []string {
	s := make([]string, n)
	for k := range s {
		s[k] = w.name()
	}
	return s
}

// some is a count, mostly small.
func (w wild) some() int {
	if w.IntN(12) == 0 {
		return w.IntN(150)
	}
	return w.IntN(7)
}

func (w wild) axes() Axes {
	a := Axes{Title: w.name(), X: w.name(), Y: w.name(), LogX: w.IntN(3) == 0, LogY: w.IntN(3) == 0, Steps: w.IntN(3) == 0}
	if w.IntN(3) == 0 {
		a.Min, a.Max = w.value(), w.value()
	}
	return a
}

func (w wild) series() (out []Series) {
	for range w.some() {
		n := 1 + w.some()
		s := Series{Name: w.name(), X: w.values(n), Y: w.values(n)}
		if w.IntN(2) == 0 {
			s.Lo, s.Hi = w.values(n), w.values(n)
		}
		out = append(out, s)
	}
	return out
}

func (w wild) run() Run {
	m, n := 1+w.IntN(3), 1+w.some()
	r := Run{NR: w.values(n), ANR: w.value()}
	for range m {
		r.Offered, r.Carried, r.Delay = append(r.Offered, w.values(n)), append(r.Carried, w.values(n)), append(r.Delay, w.values(n))
	}
	return r
}

func (w wild) bars() (out []Bar) {
	for range w.some() {
		out = append(out, Bar{w.name(), w.name(), w.value(), w.value(), w.value()})
	}
	return out
}

// drawings are all functions that draw from plain data.
var drawings = []struct {
	name string
	draw func(wild) (Figure, error)
}{
	{"Lines", func(w wild) (Figure, error) { return Lines(w.axes(), w.series()...) }},
	{"Objectives", func(w wild) (Figure, error) { return Objectives(w.series(), w.series()) }},
	{"LearningCurve", func(w wild) (Figure, error) { return LearningCurve(w.series()...) }},
	{"Evaluation", func(w wild) (Figure, error) { return Evaluation(w.run()) }},
	{"Loads", func(w wild) (Figure, error) { return Loads(w.run()) }},
	{"Watch", func(w wild) (Figure, error) {
		r := w.run()
		return Watch(r, w.values(len(r.Offered)))
	}},
	{"NormalisedRewards", func(w wild) (Figure, error) { return NormalisedRewards(w.run(), w.run()) }},
	{"Panels", func(w wild) (Figure, error) {
		var p []Panel
		for range w.IntN(4) {
			p = append(p, Panel{w.axes(), w.series()})
		}
		return Panels(p...)
	}},
	{"Dots", func(w wild) (Figure, error) { return Dots(w.axes(), w.bars()...) }},
	{"DotPanels", func(w wild) (Figure, error) {
		var p []DotPanel
		for range w.IntN(4) {
			p = append(p, DotPanel{w.axes(), w.bars()})
		}
		return DotPanels(w.IntN(4), p...)
	}},
	{"PredictedVsMeasured", func(w wild) (Figure, error) {
		var p []Predicted
		for range w.IntN(5) {
			n := w.some()
			p = append(p, Predicted{w.name(), w.values(n), w.values(n), w.value(), w.value()})
		}
		return PredictedVsMeasured(p...)
	}},
	{"Waterfalls", func(w wild) (Figure, error) {
		causes := w.names(w.IntN(5))
		var p []WaterfallPanel
		for range w.IntN(5) {
			q := WaterfallPanel{Title: w.name()}
			for range w.IntN(4) {
				q.Falls = append(q.Falls, Fall{w.name(), w.values(len(causes)), w.value(), w.value()})
			}
			p = append(p, q)
		}
		return Waterfalls(w.axes(), causes, w.IntN(4), p...)
	}},
	{"Framework", func(wild) (Figure, error) { return Framework(), nil }},
	{"Ratios", func(w wild) (Figure, error) {
		var r []Ratio
		for range w.some() {
			r = append(r, Ratio{w.name(), w.value(), w.value(), w.value()})
		}
		return Ratios(w.axes(), r...)
	}},
	{"HeatMap", func(w wild) (Figure, error) {
		m := Matrix{Title: w.name(), RowLabel: w.name(), ColumnLabel: w.name(), RowNames: w.names(w.some()), ColumnNames: w.names(w.some()), Decimals: w.IntN(5) - 1, Diverging: w.IntN(2) == 0, Middle: w.value()}
		for range m.RowNames {
			m.Values = append(m.Values, w.values(len(m.ColumnNames)))
		}
		return HeatMap(m)
	}},
	{"Timelines", func(w wild) (Figure, error) {
		var p []TimelinePanel
		for range w.IntN(4) {
			q := TimelinePanel{Axes: w.axes(), Series: w.series()}
			for range w.some() {
				q.Events = append(q.Events, Event{w.name(), w.value(), w.value()})
			}
			p = append(p, q)
		}
		return Timelines(p...)
	}},
	{"Stacked", func(w wild) (Figure, error) {
		parts := w.names(w.some())
		var s []Stack
		for range w.some() {
			s = append(s, Stack{w.name(), w.values(len(parts))})
		}
		a := w.axes()
		a.LogY = false
		return Stacked(a, parts, s...)
	}},
	{"Tradeoffs", func(w wild) (Figure, error) {
		var t []Tradeoff
		for range w.some() {
			t = append(t, Tradeoff{w.name(), w.value(), w.value(), w.value(), w.value(), w.value(), w.value()})
		}
		return Tradeoffs(w.axes(), t...)
	}},
	{"CallGraph", func(w wild) (Figure, error) {
		var s []GraphService
		for range w.some() {
			g := GraphService{Name: w.name()}
			for range w.IntN(4) {
				var stage []GraphCall
				for range w.IntN(3) {
					stage = append(stage, GraphCall{w.name(), w.names(w.some())})
				}
				g.Stages = append(g.Stages, stage)
			}
			s = append(s, g)
		}
		return CallGraph(w.name(), s...)
	}},
	{"Architecture", func(w wild) (Figure, error) {
		n := w.some()
		return Architecture(Deployment{w.names(w.some()), w.name(), w.names(n), w.names([]int{0, 1, n}[w.IntN(3)]), w.name(), w.name(), w.name(), w.name()})
	}},
}

// slow is what a drawing does not take on any machine unless it hangs.
const slow = 20 * time.Second

// checkDrawing draws from a seed and fails where a figure takes more than a
// second, where a text leaves the page or has a character that the font lacks,
// where a shape leaves the page, and where an error is not one line.
func checkDrawing(t *testing.T, name string, draw func(wild) (Figure, error), seed uint64) {
	t.Helper()
	// The best of three, since other programs run too.
	began := time.Now()
	f, err := draw(wild{rand.New(rand.NewPCG(seed, 0))})
	if err != nil {
		if s := err.Error(); !strings.HasPrefix(s, "figure: ") {
			t.Errorf("%s, seed %d: %q", name, seed, s)
		}
		return
	}
	p, err := f.page()
	if err != nil {
		t.Fatalf("%s, seed %d: %v", name, seed, err)
	}
	svg := p.svg()
	if seed%10 == 0 { // the font takes most of the time
		if _, err := p.pdf(); err != nil {
			t.Errorf("%s, seed %d: %v", name, seed, err)
		}
	}
	if d, ok := f.Data(); ok {
		d.CSV()
		d.Markdown()
		for k, row := range d.Rows {
			if len(row) != len(d.Header) {
				t.Errorf("%s, seed %d: row %d of the data has %d cells, the header %d", name, seed, k, len(row), len(d.Header))
			}
		}
	}
	if took := time.Since(began); took > slow {
		t.Errorf("%s, seed %d: %v", name, seed, took)
	}
	if !utf8.Valid(svg) || bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
		t.Errorf("%s, seed %d: not a number in SVG", name, seed)
	}
	for _, o := range p.ops {
		if o.kind == written {
			b := o.box()
			if b.Min.X < 0 || b.Min.Y < 0 || b.Max.X > p.width || b.Max.Y > p.height {
				t.Errorf("%s, seed %d: %q lies at %v on a page of %v x %v", name, seed, o.text, b, p.width, p.height)
			}
			for _, r := range o.text {
				if sans().glyph(r).index == 0 {
					t.Errorf("%s, seed %d: %q has no shape in the font", name, seed, r)
				}
			}
			continue
		}
		for _, s := range o.path {
			for _, q := range s.p[:map[byte]int{'M': 1, 'L': 1, 'C': 3, 'Z': 0}[s.kind]] {
				if q.X < -1 || q.Y < -1 || q.X > p.width+1 || q.Y > p.height+1 {
					t.Fatalf("%s, seed %d: a shape reaches %v on a page of %v x %v", name, seed, q, p.width, p.height)
				}
			}
		}
	}
}

func TestAnyInput(t *testing.T) {
	seeds := uint64(100)
	if testing.Short() {
		seeds = 15
	}
	for _, d := range drawings {
		t.Run(d.name, func(t *testing.T) {
			for seed := range seeds {
				checkDrawing(t, d.name, d.draw, seed)
			}
		})
	}
}

func FuzzDrawings(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		d := drawings[seed%uint64(len(drawings))]
		checkDrawing(t, d.name, d.draw, seed)
	})
}

// Ticks: 3 to 7 on any axis, 4 at least where it may choose its ends.
func TestTicks(t *testing.T) {
	w := wild{rand.New(rand.NewPCG(1, 2))}
	for range 20000 {
		a := newAxis("", w.IntN(2) == 0)
		a.round = w.IntN(2) == 0
		seen := w.values(1 + w.IntN(4))
		a.see(seen...)
		a.resolve()
		least := 3
		if a.round && !a.log {
			least = 4
		}
		if n := len(a.ticks); n < least || n > mostTicks {
			t.Fatalf("%d ticks %v of %v (log %v, round %v)", n, a.ticks, seen, a.log, a.round)
		}
		for k, x := range a.ticks {
			if at := a.at(x.value); !(at >= -1e-6 && at <= 1+1e-6) || k > 0 && !(x.value > a.ticks[k-1].value) || k > 0 && x.label == a.ticks[k-1].label {
				t.Fatalf("tick %v at %v of %v (log %v, round %v): %v", x, at, seen, a.log, a.round, a.ticks)
			}
		}
		for _, v := range seen {
			if at := a.at(v); a.shows(v) && !(at >= 0 && at <= 1) {
				t.Fatalf("%v lies beyond %v to %v", v, a.min, a.max)
			}
		}
	}
}

func TestTickValues(t *testing.T) {
	for _, tt := range []struct {
		log, round bool
		see        []float64
		want       string
	}{
		{false, false, []float64{0, 1}, "0 0.2 0.4 0.6 0.8 1"},
		{false, false, []float64{0, 80}, "0 20 40 60 80"},
		{false, true, []float64{-.3, .2}, "−0.3 −0.2 −0.1 0 0.1 0.2"},
		{false, true, []float64{.9995, 1.0005}, "0.9 0.95 1 1.05 1.1"}, // noise about 1
		{false, true, []float64{5, 5, 5}, "4.6 4.8 5 5.2 5.4"},
		{false, true, []float64{0, 0}, "−1 −0.5 0 0.5 1"},
		{false, true, []float64{1e300}, "9e299 9.5e299 1e300 1.05e300 1.1e300"},
		{false, true, []float64{-1e308, 1e308}, "−1e308 −5e307 0 5e307 1e308"},
		{false, false, []float64{1.7e18, 1.7e18 + 4e9}, "0 1e9 2e9 3e9 4e9"},
		{false, true, []float64{2e-7, 5e-7}, "2e−7 2.5e−7 3e−7 3.5e−7 4e−7 4.5e−7 5e−7"},
		{false, false, []float64{0, 1, 14}, "0 5 10"}, // steps, of which there is no half
		{false, false, []float64{0, 1, 14.5}, "0 2.5 5 7.5 10 12.5"},
		{false, false, []float64{0, 3}, "0 1 2 3"},
		{true, true, []float64{.1, 0, .3}, "0.1 0.2 0.3 0.4 0.5"},
		{true, true, []float64{1, 1000}, "1 10 100 1000"},
		{true, true, []float64{.6, 41}, "0.5 1 2 5 10 20 50"},
		{true, true, []float64{.5}, "0.2 0.4 0.6 0.8 1"},
	} {
		a := newAxis("time", tt.log)
		a.round = tt.round
		a.see(tt.see...)
		a.resolve()
		var got []string
		for _, k := range a.ticks {
			got = append(got, k.label)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%v (log %v): ticks %s, want %s", tt.see, tt.log, s, tt.want)
		}
		if tt.see[0] == 1.7e18 && a.label != "time, from 1.7e18" {
			t.Errorf("label %q", a.label)
		}
	}
}

// A figure shows what was given when it was drawn.
func TestOwnCopy(t *testing.T) {
	y, parts, values := []float64{1, 2}, []float64{3, 4}, [][]float64{{5, 6}}
	var figures []Figure
	keep := func(f Figure, err error) {
		if err != nil {
			t.Fatal(err)
		}
		figures = append(figures, f)
	}
	keep(Lines(Axes{}, Series{X: []float64{0, 1}, Y: y}))
	keep(Timelines(TimelinePanel{Series: []Series{{X: []float64{0, 1}, Y: y}}}))
	keep(Stacked(Axes{}, []string{"a", "b"}, Stack{"s", parts}))
	keep(HeatMap(Matrix{RowNames: []string{"r"}, ColumnNames: []string{"c", "d"}, Values: values}))
	keep(PredictedVsMeasured(Predicted{Measured: y, Predicted: parts}))
	keep(Loads(Run{Offered: values, Carried: values}))
	write := func() (out []string) {
		for _, f := range figures {
			p, err := f.page()
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(p.svg())+string(p.data().CSV()))
		}
		return out
	}
	before := write()
	y[0], parts[0], values[0][0] = 70, 70, 70
	for k, after := range write() {
		if after != before[k] {
			t.Errorf("figure %d has changed with its data", k)
		}
	}
}

// Names beside points do not cover each other, however near the points are.
func TestNamesApart(t *testing.T) {
	w := wild{rand.New(rand.NewPCG(3, 4))}
	for range 200 {
		var points []Tradeoff
		spread := math.Pow10(-w.IntN(4))
		for k := range mostLabelled {
			points = append(points, Tradeoff{Name: fmt.Sprintf("policy number %d", k), X: 1 + spread*w.NormFloat64(), Y: 1 + spread*w.NormFloat64()})
		}
		f, err := Tradeoffs(Axes{X: "cost", Y: "violations"}, points...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.page()
		if err != nil {
			t.Fatal(err)
		}
		var names []op
		for _, o := range p.ops {
			if o.kind == written && strings.HasPrefix(o.text, "policy") {
				names = append(names, o)
			}
		}
		if len(names) != mostLabelled {
			t.Fatalf("%d names of %d points", len(names), mostLabelled)
		}
		for k, a := range names {
			for _, b := range names[:k] {
				if overlap(a.box(), b.box()) {
					t.Fatalf("%q covers %q", a.text, b.text)
				}
			}
		}
	}
}

// Legends lie outside the pane, in as many rows as they need.
func TestLegendOutside(t *testing.T) {
	for n := range 60 {
		var series []Series
		for k := range n {
			series = append(series, Series{Name: fmt.Sprintf("policy number %d", k), X: []float64{0, 1}, Y: []float64{float64(k), 1}})
		}
		f, err := Lines(Axes{X: "step", Y: "NR"}, series...)
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.page()
		if err != nil {
			t.Fatal(err)
		}
		top, seen := vg.Length(0), 0
		for _, o := range p.ops { // the frame is the first closed line
			if o.kind == stroke && len(o.path) == 5 {
				for _, s := range o.path {
					top = max(top, s.p[0].Y)
				}
				break
			}
		}
		for _, o := range p.ops {
			if o.kind == written && strings.HasPrefix(o.text, "policy") {
				seen++
				if o.box().Min.Y < top {
					t.Fatalf("%d series: %q at %v, the pane ends at %v", n, o.text, o.box(), top)
				}
			}
		}
		if seen != n {
			t.Errorf("%d names of %d series", seen, n)
		}
	}
}
