package importer

import (
	"bytes"
	"compress/gzip"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// base maps what most of the files below have: one service on two nodes.
const base = `
columns:
  - {column: asked, field: l1}
  - {column: a, field: p11}
  - {column: b, field: b1}
  - {column: delay, field: d1}
`

// timed maps rows of 1 s with a time.
const timed = `
row: 1
columns:
  - {column: t, field: time, unit: s}
  - {column: asked, field: l1}
  - {column: sent, field: cl1}
  - {column: n, field: d1_n}
  - {column: delay, field: d1}
  - {column: p99, field: d1_p99}
set: {p11: .5, b1: 0}
`

const (
	untimedFile = "asked,a,b,delay\n5,0.2,0,0.031\n10,0.4,0.2,0.045\n"
	timedFile   = "t,asked,sent,n,delay,p99\n" +
		"100,5,5,4,.02,.03\n101,5,5,6,.03,.04\n102,5,4,0,,\n103,5,6,10,.05,.09\n104,5,5,5,.04,.05\n" +
		"105,10,9,9,.06,.07\n106,10,9,9,.06,.07\n107,10,9,9,.06,.07\n108,10,9,9,.06,.07\n109,10,9,9,.06,.07\n"
	entriesFile = "name,method,max_l,l,cl,d,d_std,d_90,d_99,drops,cpu_total_sec\n" +
		"front,GET,2,10,10,.02,0,0,.03,0,1\nfront,POST,4,20,15,.05,0,0,.08,2,1\n" +
		"front,GET,2,15,15,0,0,0,0,0,1\nfront,POST,4,20,20,.06,0,0,.09,0,1\n"
)

func packed(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

func zstded(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(text), nil))
}

// foreign are files of other programs, how they are mapped, and what comes of
// them: the values of columns of the trace and the rows that are not used by
// reason, or an error with the given words.
var foreign = []struct {
	name, text, mapping string
	services            int // default 1
	want                map[string][]float64
	unused              map[string]int
	notes               []string
	wrong               []string
}{
	{name: "as mapped", text: untimedFile, mapping: base,
		want: map[string][]float64{"step": {0, 1}, "l1": {5, 10}, "p11": {.2, .4}, "p12": {.8, .6}, "b1": {0, .2}, "d1": {.031, .045}}},
	{name: "semicolons and decimal commas", mapping: "delimiter: \";\"\ndecimal: \",\"" + base,
		text: "asked;a;b;delay\n5;0,2;0;0,031\n10;0,4;0,2;4,5e-2\n",
		want: map[string][]float64{"p11": {.2, .4}, "d1": {.031, .045}}},
	{name: "points where commas are decimal", mapping: "delimiter: \";\"\ndecimal: \",\"" + base,
		text: "asked;a;b;delay\n1.000;0,2;0;0,031\n10;0,4;0,2;0,045\n",
		want: map[string][]float64{"l1": {10}}, unused: map[string]int{"column asked holds no number": 1}},
	{name: "another delimiter than mapped", mapping: base, text: strings.ReplaceAll(untimedFile, ",", ";"),
		wrong: []string{"line 1", "separated by commas; it has semicolons: set the delimiter"}},
	{name: "tabs", mapping: "delimiter: tab" + base, text: strings.ReplaceAll(untimedFile, ",", "\t"),
		want: map[string][]float64{"d1": {.031, .045}}},
	{name: "byte order mark", mapping: base, text: "\ufeff" + untimedFile,
		want: map[string][]float64{"l1": {5, 10}}},
	{name: "UTF-16", mapping: base, text: "\xff\xfea\x00", wrong: []string{"in UTF-16; save it in UTF-8"}},
	{name: "CR LF", mapping: base, text: strings.ReplaceAll(untimedFile, "\n", "\r\n"),
		want: map[string][]float64{"d1": {.031, .045}}},
	{name: "quoted cells and spaces", mapping: base, text: "\"asked\", a ,b,\"delay\"\n\"5\", 0.2 ,0,\"0.031\"\n\"10\",0.4,0.2,0.045\n",
		want: map[string][]float64{"p11": {.2, .4}, "d1": {.031, .045}}},
	{name: "a quote without end", mapping: base, text: untimedFile + "5,0.2,0,\"0.031\n",
		wrong: []string{"row 3: line 4: a quoted cell has no end"}},
	{name: "reordered and further columns", mapping: base,
		text: "host,delay,b,comment,a,asked\nx,0.031,0,\"a, b\",0.2,5\ny,0.045,0.2,,0.4,10\n",
		want: map[string][]float64{"l1": {5, 10}, "p11": {.2, .4}, "b1": {0, .2}, "d1": {.031, .045}}, notes: []string{"columns not mapped: host, comment"}},
	{name: "a column that is not there", mapping: base, text: strings.Replace(untimedFile, "delay", "dealy", 1),
		wrong: []string{"line 1", `column "delay" is not in the file (did you mean "dealy"?)`, "d1"}},
	{name: "a column twice", mapping: base, text: "asked,asked,a,b,delay\n5,5,1,0,.1\n", wrong: []string{`column "asked" is there twice`}},
	{name: "gzip", mapping: base, text: packed(untimedFile), want: map[string][]float64{"d1": {.031, .045}}},
	{name: "gzip cut short", mapping: base, text: packed(untimedFile)[:30], wrong: []string{"unexpected EOF"}},
	{name: "zstd", mapping: base, text: zstded(untimedFile), want: map[string][]float64{"d1": {.031, .045}}},
	{name: "zstd cut short", mapping: base, text: zstded(untimedFile)[:30], wrong: []string{"unexpected EOF"}},
	{name: "zstd with a wrong byte", mapping: base, text: strings.Replace(zstded(untimedFile), "\n", "\r", 1), wrong: []string{"CRC"}},
	{name: "ms, percent, requests of 5 s and of a minute, a scale", text: "asked,sent,carried,a,b,delay,mean\n60,25,300,20,40,31,2\n",
		mapping: `
columns:
  - {column: asked, field: l1, unit: requests/min}
  - {column: sent, field: lg1, unit: requests/5s}
  - {column: carried, field: cl1, unit: requests/min, scale: .5}
  - {column: a, field: p11, unit: "%"}
  - {column: b, field: b1, unit: "%"}
  - {column: delay, field: d1, unit: ms}
  - {column: mean, field: d11, unit: min}`,
		want: map[string][]float64{"l1": {1}, "lg1": {5}, "cl1": {2.5}, "p11": {.2}, "p12": {.8}, "b1": {.4}, "d1": {.031}, "d11": {120}}},
	{name: "what a weight leaves", text: "asked,a,b,delay\n5,80,0,.1\n5,90,0,.1\n", mapping: strings.Replace(base, "p11}", "p11, unit: '%'}", 1),
		want: map[string][]float64{"p11": {.8, .9}, "p12": {.2, .1}}},
	{name: "weights above 1", text: "asked,a,b,delay\n5,20,0,.1\n5,1,0,.1\n", mapping: base,
		want: map[string][]float64{"p11": {1}}, unused: map[string]int{"column a is out of range": 1}},
	{name: "weights that do not sum to 1", text: "asked,a,c,b\n5,.5,.4,0\n5,.5,.5,0\n",
		mapping: "columns: [{column: asked, field: l1}, {column: a, field: p11}, {column: c, field: p12}, {column: b, field: b1}]",
		want:    map[string][]float64{"p12": {.5}}, unused: map[string]int{"the action is not accepted": 1}},
	{name: "missing markers", mapping: "missing: [\"-\", \"-1\"]" + base,
		text:   "asked,a,b,delay\n5,0.2,0,-\n5,0.2,0,-1\n5,0.2,0,\n5,0.2,0,NA\n-,0.2,0,.1\n5,.2,0,NaN\n5,0.2,0,.2\n",
		want:   map[string][]float64{"d1": {math.NaN(), math.NaN(), math.NaN(), .2}, "d1_n": {0, 0, 0, math.NaN()}, "step": {0, 1, 2, 6}},
		unused: map[string]int{"column delay holds no number": 2, "column asked is missing": 1}, notes: []string{"missing values, by column: delay 3"}},
	{name: "missing markers of other programs", mapping: base, text: "asked,a,b,delay\n5,0.2,0,NA\n5,0.2,0,NaN\n5,0.2,0,null\n",
		want: map[string][]float64{"d1": {math.NaN(), math.NaN(), math.NaN()}}},
	{name: "a delay of 0 that is none", text: "asked,a,b,delay\n5,0.2,0,0\n5,0.2,0,0.0\n5,0.2,0,.1\n", mapping: strings.Replace(base, "d1}", "d1, zero: missing}", 1),
		want: map[string][]float64{"d1": {math.NaN(), math.NaN(), .1}, "d1_n": {0, 0, math.NaN()}}},
	{name: "rows of 1 s joined to steps of 5 s", text: timedFile, mapping: "step: 5" + timed,
		want: map[string][]float64{"step": {0, 1}, "l1": {5, 10}, "cl1": {5, 9}, "d1_n": {25, 45},
			"d1": {(4*.02 + 6*.03 + 10*.05 + 5*.04) / 25, .06}, "d1_p99": {math.NaN(), math.NaN()}},
		notes: []string{"p99: percentiles of rows cannot be joined", "d1: rows of a step are joined by their numbers of requests"}},
	{name: "rows of 1 s, counts not known", text: timedFile, mapping: "step: 5" + strings.Replace(timed, "  - {column: n, field: d1_n}\n", "", 1),
		want:  map[string][]float64{"d1": {(5*.02 + 5*.03 + 6*.05 + 5*.04) / 21, .06}},
		notes: []string{"in proportion to the load carried"}},
	{name: "a step that lacks a row", text: strings.Replace(timedFile, "103,5,6,10,.05,.09\n", "", 1), mapping: "step: 5" + timed,
		want: map[string][]float64{"step": {1}, "l1": {10}}, unused: map[string]int{"a step lacks rows": 4}, notes: []string{"1 gaps, of 1 steps in all; first before row 4 (line 5)"}},
	{name: "a load that changes within a step", text: strings.Replace(timedFile, "102,5", "102,10", 1), mapping: "step: 5" + timed,
		want: map[string][]float64{"l1": {6, 10}}},
	{name: "an action that changes within a step", text: "t,asked,w\n0,5,.2\n1,5,.4\n2,5,.4\n3,5,.4\n",
		mapping: "{row: 1, step: 2, columns: [{column: t, field: time, unit: s}, {column: asked, field: l1}, {column: w, field: p11}], set: {b1: 0}}",
		want:    map[string][]float64{"step": {1}, "p11": {.4}}, unused: map[string]int{"the action changes within a step": 2}},
	{name: "a clock that is not exact", text: "t,asked,sent,n,delay,p99\n0,5,5,1,.1,.1\n1.2,5,5,1,.1,.1\n2.1,5,5,1,.1,.1\n3.3,5,5,1,.1,.1\n4.5,5,5,1,.1,.1\n5.7,5,5,1,.1,.1\n", mapping: timed,
		want: map[string][]float64{"step": {0, 1, 2, 3, 4, 5}}},
	{name: "gaps", text: strings.Replace(timedFile, "102,5,4,0,,\n103,5,6,10,.05,.09\n", "", 1), mapping: timed,
		want: map[string][]float64{"step": {0, 1, 4, 5, 6, 7, 8, 9}}, notes: []string{"1 gaps, of 2 steps in all; first before row 3 (line 4)"}},
	{name: "gaps refused", text: strings.Replace(timedFile, "102,5,4,0,,\n", "", 1), mapping: "gaps: refuse" + timed,
		wrong: []string{"row 3 (line 4): 1 steps without a row before it"}},
	{name: "duplicates", text: strings.Replace(timedFile, "102,5", "101,5", 1), mapping: timed,
		want: map[string][]float64{"step": {0, 1, 3, 4, 5, 6, 7, 8, 9}}, unused: map[string]int{"step that is there": 1}},
	{name: "duplicates refused", text: strings.Replace(timedFile, "102,5", "101,5", 1), mapping: "duplicates: refuse" + timed,
		wrong: []string{"row 3 (line 4): column t says 101 s: 0 s after the row before"}},
	{name: "a clock that goes back", text: strings.Replace(timedFile, "103,5", "90,5", 1), mapping: timed,
		wrong: []string{"row 4 (line 5): column t says 90 s: 12 s before the row before"}},
	{name: "a clock that goes back, reported", text: strings.Replace(timedFile, "103,5", "90,5", 1), mapping: "back: report" + timed,
		want: map[string][]float64{"step": {0, 1, 2, 4, 5, 6, 7, 8, 9}}, unused: map[string]int{"clock goes back": 1}},
	{name: "step numbers", text: "k,asked,a,b,delay\n7,5,.2,0,.1\n8,5,.2,0,.1\n10,5,.2,0,.1\n10,5,.2,0,.1\nx,5,.2,0,.1\n", mapping: strings.Replace(base, "columns:", "columns:\n  - {column: k, field: step}", 1),
		want: map[string][]float64{"step": {7, 8, 10}}, unused: map[string]int{"step that is there": 1, "column k holds no step": 1}},
	{name: "wrong number of cells", text: untimedFile + "5,0.2\n5,0.2,0,.1,7\n5,0.2,0,.1\n", mapping: base,
		want: map[string][]float64{"step": {0, 1, 4}}, unused: map[string]int{"wrong number of cells": 2}},
	{name: "wrong number of cells, refused", text: untimedFile + "5,0.2\n", mapping: "unusable: refuse" + base,
		wrong: []string{"row 3 (line 4): it has 2 cells; accepted: 4"}},
	{name: "what is no number", text: "asked,a,b,delay\n5,0.2,0,fast\n5,0.2,0,inf\n5,0.2,0,0x1p-2\n5,0.2,0,-0.1\n5,0.2,0,1e999\n5,0.2,0,.1\n", mapping: base,
		want: map[string][]float64{"d1": {.1}}, unused: map[string]int{"column delay holds no number": 4, "column delay is out of range": 1}},
	{name: "nothing that can be used", text: "asked,a,b,delay\nx,0.2,0,.1\n,0.2,0,.1\ny,0.2,0,.1\n", mapping: base,
		wrong: []string{"none of 3 rows could be used; 2 of them: column asked holds no number; first row 1 (line 2)", `"x"`}},
	{name: "empty", text: "", mapping: base, wrong: []string{"the file is empty"}},
	{name: "header only", text: "asked,a,b,delay\n", mapping: base, wrong: []string{"no row after the header"}},
	{name: "lines that begin with #", text: "# made by x\nasked,a,b,delay\n# pause\n5,0.2,0,.1\n", mapping: "comments: true" + base,
		want: map[string][]float64{"d1": {.1}}},
	{name: "a header that begins with #", text: "#asked,a,b,delay\n5,0.2,0,.1\n", mapping: strings.Replace(base, "column: asked", "column: \"#asked\"", 1),
		want: map[string][]float64{"l1": {5}}},
	{name: "a row for each service", text: entriesFile, services: 2,
		mapping: `
columns:
  - {column: max_l, field: "l{i}"}
  - {column: l, field: "lg{i}", unit: requests/row}
  - {column: cl, field: "cl{i}", unit: requests/row}
  - {column: drops, field: "failed{i}"}
  - {column: d, field: "d{i}", zero: missing}
services: {columns: [name, method], names: {front GET: service1, front POST: service2}}
set: {"p{i}1": .5, "b{i}": 0}`,
		want: map[string][]float64{"step": {0, 1}, "l1": {2, 2}, "l2": {4, 4}, "lg1": {2, 3}, "cl2": {3, 4}, "failed2": {2, 0},
			"d1": {.02, math.NaN()}, "d1_n": {math.NaN(), 0}, "d2": {.05, .06}, "p11": {.5, .5}, "p22": {.5, .5}}},
	{name: "a service that lacks a row", text: strings.Replace(entriesFile, "front,POST,4,20,15,.05,0,0,.08,2,1\n", "", 1) + "cart,GET,1,1,1,1,1,1,1,1,1\n", services: 2,
		mapping: "columns: [{column: max_l, field: \"l{i}\"}]\nservices: {columns: [name, method], names: {front GET: service1, front POST: service2}}\nset: {\"p{i}1\": .5, \"b{i}\": 0}",
		want:    map[string][]float64{"step": {1}, "l2": {4}}, unused: map[string]int{"a service has no row at that moment": 1, "entry of no service": 1}},
	{name: "a knob without a column", text: untimedFile, mapping: "columns: [{column: asked, field: l1}, {column: a, field: p11}]",
		wrong: []string{"the mapping has no column for b1; map one, or set a value"}},
	{name: "a field that the scenario lacks", text: untimedFile, mapping: base + "  - {column: a, field: cpu1}\n",
		wrong: []string{`unknown field "cpu1"`, "of service1 on node1,node2; accepted: time, step, mark, l1"}},
	{name: "an optional field that the scenario lacks", text: untimedFile, mapping: base + "  - {column: a, field: cpu1, optional: true}\n",
		want: map[string][]float64{"l1": {5, 10}}, notes: []string{"a: the scenario has no cpu1"}},
	{name: "a unit of something else", text: untimedFile, mapping: strings.Replace(base, "l1}", "l1, unit: ms}", 1),
		wrong: []string{`column "asked": unit "ms"; accepted: requests/s`}},
}

func TestForeignFiles(t *testing.T) {
	for _, c := range foreign {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse("mapping.yaml", []byte(c.mapping))
			if err != nil {
				t.Fatal(err)
			}
			path := write(t, "foreign.csv", c.text)
			tab, out, err := Import(path, m, Options{Space: mesh.Grid(mesh.New(max(c.services, 1), 2), 6)})
			if c.wrong != nil {
				for _, words := range append(c.wrong, path) {
					if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "\n") {
						t.Errorf("error %v, want one line with %q", err, words)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				var got []float64
				if name == "step" {
					for r := range tab.Len() {
						got = append(got, float64(tab.Row(r).Step))
					}
				} else if got, err = tab.Column(name); err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(got, want, func(a, b float64) bool {
					// Decimal weights come out decimal.
					return a == b || name[0] != 'p' && math.Abs(a-b) < 1e-12 || math.IsNaN(a) && math.IsNaN(b)
				}) {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			unused, rows := map[string]int{}, out.Used
			for _, r := range out.Unused {
				unused[r.Text] = r.Rows
				rows += r.Rows
			}
			if rows != out.Rows || out.Steps != tab.Len() {
				t.Errorf("%d rows are accounted for of %d; %d steps, the trace has %d", rows, out.Rows, out.Steps, tab.Len())
			}
			for reason, n := range c.unused {
				if unused[reason] != n {
					t.Errorf("%d rows: %s, want %d; %s", unused[reason], reason, n, out)
				}
			}
			if len(unused) != len(c.unused) {
				t.Errorf("rows not used: %v, want %v", unused, c.unused)
			}
			for _, words := range c.notes {
				if !strings.Contains(out.String(), words) {
					t.Errorf("the outcome does not say %q: %s", words, out)
				}
			}
			readBack(t, tab)
		})
	}
}

// readBack writes a trace and reads it as any other is read.
func readBack(t *testing.T, tab *trace.Table) {
	t.Helper()
	path := write(t, "trace.csv", "")
	if err := tab.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := trace.Read(path, trace.ReadOptions{Space: tab.Space()})
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != tab.Len() {
		t.Errorf("%d rows read back, want %d", got.Len(), tab.Len())
	}
	trace.Audit(got)
}

// Times of all units are the same moment.
func TestTimes(t *testing.T) {
	for _, c := range []struct{ unit, first, second string }{
		{"rfc3339", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:05.5Z"},
		{"unix", "1769860800", "1769860805.5"},
		{"unix ms", "1769860800000", "1769860805500"},
		{"unix us", "1769860800000000", "1769860805500000"},
		{"unix ns", "1769860800000000000", "1769860805500000000"},
		{"2006-01-02 15:04:05", "2026-01-31 12:00:00", "2026-01-31 12:00:05.5"},
	} {
		m, err := Parse("m", []byte(`columns: [{column: when, field: time, unit: "`+c.unit+`"}, {column: asked, field: l1}]`+"\nset: {p11: 1, b1: 0}"))
		if err != nil {
			t.Fatal(err)
		}
		tab, _, err := Import(write(t, "x.csv", "when,asked\n"+c.first+",5\n"+c.second+",5\n"), m, Options{Space: mesh.Grid(mesh.New(1, 2), 6)})
		if err != nil {
			t.Errorf("%s: %v", c.unit, err)
			continue
		}
		var got []string
		for r := range tab.Len() {
			got = append(got, tab.Row(r).Start.UTC().Format("2006-01-02T15:04:05.0"))
		}
		if want := []string{"2026-01-31T12:00:00.0", "2026-01-31T12:00:05.5"}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.unit, got, want)
		}
	}
}

// A mapping's file is checked whole, in one line.
func TestBadMappings(t *testing.T) {
	for _, c := range []struct{ text, words string }{
		{"", "the file is empty"},
		{"columns: []", "no column is mapped"},
		{"colums: []", `unknown key "colums" of a mapping; accepted: title, delimiter`},
		{"columns: [{column: a, field: l1, units: ms}]", `unknown key "units" of a column; accepted: column, field, unit`},
		{"columns: [{column: a}]", `column "a" and field ""`},
		{"columns: [{column: a, field: l1}, {column: b, field: l1}]", `field "l1" is mapped twice`},
		{"columns: [{column: a, field: time}, {column: b, field: step}]", "both time and step"},
		{"columns: [{column: a, field: l1, zero: none}]", `zero is "none"; accepted: missing, value`},
		{"columns: [{column: a, field: l1, scale: -1}]", "scale is -1"},
		{"delimiter: ab\n" + base, `delimiter "ab"; accepted`},
		{"decimal: x\n" + base, `decimal "x"; accepted`},
		{"gaps: drop\n" + base, `gaps is "drop"; accepted: report, refuse`},
		{"row: 2\nstep: 5\n" + base, "step is 5 s where a row is about 2 s; accepted: a whole multiple"},
		{"set: {l1: 5}\n" + base, `field "l1" is mapped and set`},
		{"services: {names: {a: b}}\n" + base, "names but no columns"},
		{base + "---\n" + base, "more than one document"},
	} {
		_, err := Parse("m.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", c.text, err, c.words)
		}
	}
}

func TestPresetsAreMappings(t *testing.T) {
	for _, name := range Presets() {
		if _, err := Preset(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := Preset("kth"); err == nil || !strings.Contains(err.Error(), "accepted: kth-2022") {
		t.Errorf("an unknown preset: %v", err)
	}
}

// Whatever a file is, all its rows are accounted for, and what is made of it
// reads back.
func FuzzImport(f *testing.F) {
	for _, c := range foreign {
		f.Add(c.text, c.mapping)
	}
	f.Add(kthLike, base)
	f.Fuzz(func(t *testing.T, text, mapping string) {
		m, err := Parse("m", []byte(mapping))
		if err != nil {
			return
		}
		out := new(Outcome)
		tab, err := read(strings.NewReader(text), "", m, Options{Space: mesh.Grid(mesh.New(2, 2), 6)}, out)
		if err != nil {
			if len(err.Error()) > 10_000 || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		rows := out.Used
		for _, r := range out.Unused {
			rows += r.Rows
		}
		if rows != out.Rows || tab.Len() != out.Steps {
			t.Fatalf("%d of %d rows, %d of %d steps", rows, out.Rows, out.Steps, tab.Len())
		}
		if _, err := tab.WriteTo(new(bytes.Buffer)); err != nil {
			t.Fatal(err)
		}
	})
}
