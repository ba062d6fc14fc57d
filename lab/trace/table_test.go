package trace

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

func TestSplit(t *testing.T) {
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 2000, 1))
	for _, c := range []struct {
		split Split
		want  int // rows to learn from
		slack int
	}{
		{Split{}, 1400, 0},
		{Split{Train: .5, Seed: 3}, 1000, 0},
		{Split{ByAction: true}, 1400, 60},
		{Split{ByAction: true, Train: .5, Seed: 4}, 1000, 60},
	} {
		train, test := tab.SplitRows(c.split)
		if d := len(train) - c.want; d < -c.slack || d > c.slack || len(train)+len(test) != tab.Len() {
			t.Errorf("%+v: %d and %d rows, want %d to learn from", c.split, len(train), len(test), c.want)
		}
		if !slices.IsSorted(train) || !slices.IsSorted(test) {
			t.Errorf("%+v: rows out of order", c.split)
		}
		all := slices.Sorted(slices.Values(slices.Concat(train, test)))
		if len(slices.Compact(all)) != tab.Len() {
			t.Errorf("%+v: a row is on both sides", c.split)
		}
		again, _ := tab.SplitRows(c.split)
		other, _ := tab.SplitRows(Split{c.split.Train, c.split.Seed + 1, c.split.ByAction})
		if !slices.Equal(train, again) || slices.Equal(train, other) {
			t.Errorf("%+v: the seed does not decide", c.split)
		}
		learned := map[int]bool{}
		space := mesh.Grid(tab.Mesh(), 11) // holds the reference cell's .5 too
		a, b := tab.Split(c.split)
		for r := range a.Len() {
			k, _ := space.Index(a.Row(r).Action)
			learned[k] = true
		}
		shared := 0
		for r := range b.Len() {
			if k, ok := space.Index(b.Row(r).Action); !ok || learned[k] {
				shared++
			}
		}
		if c.split.ByAction != (shared == 0) {
			t.Errorf("%+v: %d test rows have an action that was learned from", c.split, shared)
		}
	}
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(r.(string), "trace: ") {
			t.Errorf("Train of 2: %v", r)
		}
	}()
	tab.Split(Split{Train: 2})
}

func TestMatrices(t *testing.T) {
	for _, m := range []*mesh.Space{grid(2, 2), grid(3, 3), graph(t)} {
		rows := synthetic(m, 50, 1)
		tab := table(t, syntheticMeta(m), rows)
		x := tab.Features()
		for k, name := range m.FeatureNames() {
			column, err := tab.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			for r := range tab.Len() {
				if x.At(r, k) != column[r] {
					t.Fatalf("row %d: feature %s is %v, want %v", r, name, x.At(r, k), column[r])
				}
			}
		}
		y, err := tab.Targets()
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		for r := range tab.Len() {
			for k, d := range tab.Row(r).Measurement.Endpoint {
				if got := y.At(r, k); got != d.Mean && !(math.IsNaN(got) && math.IsNaN(d.Mean)) {
					t.Fatalf("row %d: target %d is %v, want %v", r, k, got, d.Mean)
				}
				if math.IsNaN(d.Mean) {
					missing++
				}
			}
		}
		if missing == 0 {
			t.Error("no delay is missing; the test shows nothing of those")
		}
		y, err = tab.Targets("d1", "cl1")
		if r, c := y.Dims(); err != nil || r != 50 || c != 2 || y.At(3, 1) != rows[3].Measurement.Carried[0] {
			t.Errorf("targets d1, cl1: %d x %d, %v", r, c, err)
		}
		if _, err := tab.Targets("d1_n", "delay1"); err == nil || !strings.Contains(err.Error(), `"delay1"`) {
			t.Errorf("an unknown target: %v", err)
		}
		if _, err := tab.Targets("CL1"); err == nil || !strings.Contains(err.Error(), `did you mean "cl1"`) {
			t.Errorf("a misspelt target: %v", err)
		}
	}
	if New(Meta{Space: grid(1, 1)}).Features() != nil {
		t.Error("features of no row")
	}
}

func TestSummaryAndFrame(t *testing.T) {
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 300, 1))
	frame := tab.Frame()
	if !slices.Equal(frame.Names(), Columns(grid(2, 2))) || frame.Nrow() != 300 {
		t.Errorf("frame of %d rows with columns %v", frame.Nrow(), frame.Names())
	}
	for _, s := range tab.Summary() {
		v, _ := tab.Column(s.Name)
		missing, sum := 0, 0.0
		for r, x := range v {
			if math.IsNaN(x) != math.IsNaN(frame.Col(s.Name).Elem(r).Float()) {
				t.Fatalf("%s: row %d is %v in the table only", s.Name, r, x)
			}
			if math.IsNaN(x) {
				missing++
				continue
			}
			sum += x
			if x < s.Min || x > s.Max {
				t.Errorf("%s: %v is outside [%v, %v]", s.Name, x, s.Min, s.Max)
			}
		}
		if s.Missing != missing || math.Abs(s.Mean*float64(300-missing)-sum) > 1e-9*sum {
			t.Errorf("%s: mean %v, %d missing; want %v, %d", s.Name, s.Mean, s.Missing, sum/float64(300-missing), missing)
		}
	}
}

// A row is a view: writing past its end must not reach the next row.
func TestRowsDoNotOverlap(t *testing.T) {
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 3, 1))
	want := tab.Row(1).Load[0]
	_ = append(tab.Row(0).Load, want+1)
	if tab.Row(1).Load[0] != want {
		t.Error("appending to one row's load changed the next")
	}
}

// Loads of a table and of its file replay alike.
func TestLoadsReplay(t *testing.T) {
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 20, 1))
	path := filepath.Join(t.TempDir(), "trace.csv")
	if err := tab.Write(path); err != nil {
		t.Fatal(err)
	}
	fromFile, err := load.ReadReplay(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	fromTable := load.NewReplay("replay", tab.Loads())
	for step := range 45 {
		want := tab.Row(step % 20).Load
		if a, b := fromTable.At(nil, 1, step), fromFile.At(nil, 1, step); !slices.Equal(a, want) || !slices.Equal(b, want) {
			t.Fatalf("step %d: %v and %v, want %v", step, a, b, want)
		}
	}
}

// A row given by its values is the row given by its parts, and is checked alike.
func TestAppendValues(t *testing.T) {
	s := graph(t)
	fields := Fields(s)
	want := table(t, syntheticMeta(s), synthetic(s, 20, 1))
	got := New(syntheticMeta(s))
	values := make([]float64, len(fields))
	for r := range want.Len() {
		for k, f := range fields {
			v, err := want.Column(f.Name)
			if err != nil {
				t.Fatal(err)
			}
			values[k] = v[r]
		}
		if err := got.AppendValues(want.Row(r).Step, want.Row(r).Start, want.Row(r).Measurement.Mark, values); err != nil {
			t.Fatal(err)
		}
	}
	var a, b strings.Builder
	want.WriteTo(&a)
	got.WriteTo(&b)
	if a.String() != b.String() {
		t.Error("the tables differ")
	}
	service := map[string]int{"l2": 1, "d1_p99": 0, "p2.1.2": 1, "b2": 1, "r3": -1, "d1.2.3_n": 0}
	for k, f := range fields {
		if want, ok := service[f.Name]; ok && f.Service != want {
			t.Errorf("%s is of service %d, want %d", f.Name, f.Service, want)
		}
		delete(service, f.Name)
		bad := slices.Clone(values)
		bad[k] = math.Inf(1)
		if err := got.AppendValues(99, want.Row(0).Start, "", bad); err == nil || !strings.Contains(err.Error(), f.Name) || got.Len() != want.Len() {
			t.Errorf("%s is infinite: %v; %d rows", f.Name, err, got.Len())
		}
		bad[k] = math.NaN()
		if err := New(syntheticMeta(s)).AppendValues(99, want.Row(0).Start, "", bad); (err == nil) == f.Required {
			t.Errorf("%s is missing: %v; required: %v", f.Name, err, f.Required)
		}
	}
	if len(service) > 0 {
		t.Errorf("no field %v", service)
	}
}
