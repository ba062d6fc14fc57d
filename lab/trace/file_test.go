package trace

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meshbench/meshbench/lab/mesh"
)

func TestWriteAndRead(t *testing.T) {
	for _, m := range []*mesh.Space{grid(2, 2), grid(3, 3), mesh.Grid(mesh.Single([]string{"video info", "maps, all"}, []string{"a", "b", "c"}), 3), grid(1, 1), graph(t)} {
		rows := synthetic(m, 250, 1)
		rows[3].Measurement.Mark = `node1, "the first", failed`
		rows[4].Measurement = mesh.NewMeasurement(m.Layout())
		rows[5].Start = rows[5].Start.AddDate(-5, 0, 0).Local()
		have := table(t, syntheticMeta(m), rows)
		path := filepath.Join(t.TempDir(), "trace.csv")
		if err := have.Write(path); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, ReadOptions{MinRows: 250, Space: m})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(have.Meta(), got.Meta(), sameSpace); diff != "" {
			t.Errorf("%s: head: %s", m, diff)
		}
		for r := range have.Len() {
			// Half the resolution, and float64's own.
			if diff := cmp.Diff(have.Row(r), got.Row(r), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-15, resolution*.501)); diff != "" {
				t.Fatalf("%s: row %d: %s", m, r, diff)
			}
		}
		var again bytes.Buffer
		if _, err := got.WriteTo(&again); err != nil {
			t.Fatal(err)
		}
		first, _ := os.ReadFile(path)
		if !bytes.Equal(first, again.Bytes()) {
			t.Errorf("%s: written again, the file differs", m)
		}
	}
}

// sameSpace compares spaces by all that a file says of them.
var sameSpace = cmp.Comparer(func(a, b *mesh.Space) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
})

// twoRows is a small trace file of the paper's mesh.
func twoRows(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 2, 5)).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// edit sets one cell of a trace file, counting rows from 1.
func edit(t testing.TB, file string, row int, column, value string) string {
	t.Helper()
	lines := strings.Split(file, "\n")
	first := 0
	for strings.HasPrefix(lines[first], "#") {
		first++
	}
	cells := strings.Split(lines[first+row], ",")
	for k, name := range strings.Split(lines[first], ",") {
		if name == column {
			cells[k] = value
			lines[first+row] = strings.Join(cells, ",")
			return strings.Join(lines, "\n")
		}
	}
	t.Fatalf("no column %s", column)
	return ""
}

func TestReadBadFile(t *testing.T) {
	good := twoRows(t)
	cell := func(row int, column, value string) string { return edit(t, good, row, column, value) }
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the file has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	line := strings.LastIndex(strings.TrimSuffix(good, "\n"), "\n") + 1 // of the last row
	body := strings.Index(good, "\nstep,")
	body += 1 + strings.Index(good[body+1:], "\n") + 1 // of the first row
	other := grid(3, 2)
	for _, c := range []struct {
		name  string
		file  string
		o     ReadOptions
		words []string // that the error must have
	}{
		{"empty file", "", ReadOptions{}, []string{"line 1"}},
		{"no head", "step,start\n1,\n", ReadOptions{}, []string{"line 1", "# meshbench trace 2", "meshbench import"}},
		{"newer version", replace("trace 2", "trace 3"), ReadOptions{}, []string{"version 3 is newer", "versions 1 to 2"}},
		{"odd version", replace("trace 2", "trace one"), ReadOptions{}, []string{`"one"`}},
		{"head without entry", replace("# seed: 7\n", ""), ReadOptions{}, []string{"no entry", `"seed"`}},
		{"head with bad entry", replace("# seed: 7", "# seed: seven"), ReadOptions{}, []string{`"seed"`, `"seven"`, "whole number"}},
		{"head with bad scale", replace("# time scale: 10", "# time scale: 0"), ReadOptions{}, []string{`"time scale"`, `"0"`, "> 0"}},
		{"head with bad length", replace("# step seconds: 5", "# step seconds: NaN"), ReadOptions{}, []string{`"step seconds"`, "> 0"}},
		{"head entry twice", replace("# seed: 7\n", "# seed: 7\n# seed: 8\n"), ReadOptions{}, []string{"seed", "twice"}},
		{"service name twice", replace(`"name":"service2"`, `"name":"service1"`), ReadOptions{}, []string{`"service1"`, "twice"}},
		{"no space", replace("# space: ", "# space was: "), ReadOptions{}, []string{"no entry", `"space"`}},
		{"space that is no JSON", replace(`# space: {`, `# space: `), ReadOptions{}, []string{`"space"`, "invalid character"}},
		{"space with an unknown kind", replace(`"kind":"block"`, `"kind":"blocks"`), ReadOptions{}, []string{`unknown kind of knob "blocks"`, "accepted"}},
		{"head only", good[:strings.Index(good, "step,start")], ReadOptions{}, []string{"column", "missing"}},
		{"another mesh", good, ReadOptions{Space: other}, []string{"is of scenario synthetic, service1,service2 on node1,node2; p11", "needed: service1,service2,service3 on"}},
		{"missing column", replace(",cl1,", ","), ReadOptions{}, []string{`"cl1" is missing`}},
		{"misspelt column", replace(",cl1,", ",c11,"), ReadOptions{}, []string{`"c11"`, `did you mean "cl1"`}},
		{"extra column", replace(",mark\n", ",mark,humidity\n"), ReadOptions{}, []string{`"humidity"`, "accepted: step, start"}},
		{"column twice", replace(",cl2,", ",cl1,"), ReadOptions{}, []string{`"cl1" is there twice`}},
		{"no row", good[:body], ReadOptions{}, []string{"0 rows", "at least 1"}},
		{"too few rows", good, ReadOptions{MinRows: 3}, []string{"2 rows", "at least 3"}},
		{"torn last line", good[:line+20], ReadOptions{}, []string{"row 2", "line 15", "accepted: 49"}},
		{"a cell too many", strings.TrimSuffix(good, "\n") + ",1\n", ReadOptions{}, []string{"line 15"}},
		{"not a number", cell(2, "d1", "fast"), ReadOptions{}, []string{"row 2 (line 15)", "column d1", `"fast"`, "seconds"}},
		{"a cell without an end", cell(2, "start", `"2026`), ReadOptions{}, []string{"row 2", "line 15", "no end"}},
		{"a quote in a cell", cell(2, "start", `20"26`), ReadOptions{}, []string{"row 2", "line 15", "quote"}},
		{"a long cell", cell(2, "d1", strings.Repeat("x", 1000)), ReadOptions{}, []string{"column d1", "xxx..."}},
		{"a number with a unit", cell(1, "l1", "5/s"), ReadOptions{}, []string{"row 1 (line 14)", "column l1", `"5/s"`, "requests/s"}},
		{"negative", cell(2, "cl2", "-1"), ReadOptions{}, []string{"row 2", "column cl2", `"-1"`, ">= 0"}},
		{"NaN", cell(2, "d11", "NaN"), ReadOptions{}, []string{"row 2", "column d11", `"NaN"`, "empty where it is missing"}},
		{"NA", cell(2, "d11", "NA"), ReadOptions{}, []string{"row 2", "column d11", `"NA"`}},
		{"infinite", cell(1, "d22_p99", "+Inf"), ReadOptions{}, []string{"row 1", "column d22_p99", `"+Inf"`}},
		{"overflow", cell(1, "d2", "1e999"), ReadOptions{}, []string{"row 1", "column d2", `"1e999"`}},
		{"missing load", cell(1, "l2", ""), ReadOptions{}, []string{"row 1", "column l2", `""`}},
		{"missing weight", cell(1, "p12", ""), ReadOptions{}, []string{"row 1", "column p12", `""`, "[0, 1]"}},
		{"weight above 1", cell(2, "p11", "1.2"), ReadOptions{}, []string{"row 2", "column p11", `"1.2"`, "[0, 1]"}},
		{"percent for fraction", cell(2, "b1", "20"), ReadOptions{}, []string{"row 2", "column b1", `"20"`, "[0, 1]"}},
		{"weights do not sum to 1", edit(t, cell(1, "p21", "0.4"), 1, "p22", "0.4"), ReadOptions{}, []string{"row 1 (line 14)", "service2", "0.8"}},
		{"bad step", cell(1, "step", "1.5"), ReadOptions{}, []string{"row 1", "column step", `"1.5"`}},
		{"steps fall", cell(1, "step", "9"), ReadOptions{}, []string{"row 2", "column step", `"1"`, ">= 9"}},
		{"bad time", cell(1, "start", "yesterday"), ReadOptions{}, []string{"row 1", "column start", `"yesterday"`, "2026-"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.csv")
			if err := os.WriteFile(path, []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			tab, err := Read(path, c.o)
			if err == nil || tab != nil {
				t.Fatal("it was read")
			}
			for _, words := range append(c.words, path) {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("the error does not say %q: %v", words, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has more than one line: %v", err)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.csv"), ReadOptions{}); err == nil || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestColumnsInAnyOrder(t *testing.T) {
	file := twoRows(t)
	lines := strings.Split(strings.TrimSuffix(file, "\n"), "\n")
	for k, line := range lines {
		if !strings.HasPrefix(line, "#") {
			first, rest, _ := strings.Cut(line, ",")
			lines[k] = rest + "," + first
		}
	}
	got, err := decode(strings.NewReader(strings.Join(lines, "\r\n")), 0, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	got.WriteTo(&b)
	if b.String() != file {
		t.Error("columns in another order give another table")
	}
}

func TestWriteKeepsWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trace.csv")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := New(Meta{Space: grid(1, 1), Load: "a\nb"}).Write(path); err == nil {
		t.Error("a head with a line break was written")
	}
	data, _ := os.ReadFile(path)
	entries, _ := os.ReadDir(dir)
	if string(data) != "old" || len(entries) != 1 {
		t.Errorf("the file holds %q beside %d others", data, len(entries)-1)
	}
	if err := New(Meta{Space: grid(2, 2)}).Write(filepath.Join(path, "beneath.csv")); err == nil || !strings.Contains(err.Error(), "beneath.csv") {
		t.Errorf("a folder that is a file: %v", err)
	}
	if err := New(Meta{Space: grid(2, 2)}).Write(filepath.Join(dir, "new", "folder", "trace.csv")); err != nil {
		t.Errorf("a folder that is to be made: %v", err)
	}
}

func TestAppendRowToTable(t *testing.T) {
	m := grid(2, 2)
	for _, c := range []struct {
		name   string
		change func(r *Row)
		words  string
	}{
		{"a load too few", func(r *Row) { r.Load = r.Load[:1] }, "1 loads"},
		{"a delay too many", func(r *Row) { r.Measurement.Endpoint = append(r.Measurement.Endpoint, mesh.Delay{}) }, "5 endpoint delays"},
		{"no action", func(r *Row) { r.Action = mesh.Action{} }, "action of 0 values"},
		{"weights that do not sum to 1", func(r *Row) { r.Action[1] /= 2; r.Action[3] /= 2 }, "sum to"},
		{"missing load", func(r *Row) { r.Load[1] = math.NaN() }, "l2 is NaN"},
		{"infinite delay", func(r *Row) { r.Measurement.Service[0].Mean = math.Inf(1) }, "d1 is +Inf"},
		{"negative count", func(r *Row) { r.Measurement.Blocked[1] = -1 }, "blocked2 is -1"},
		{"a year of five digits", func(r *Row) { r.Start = r.Start.AddDate(20_000, 0, 0) }, "year 22026"},
		{"negative step", func(r *Row) { r.Step = -1 }, "step -1"},
	} {
		tab, row := New(Meta{Space: grid(2, 2)}), synthetic(m, 2, 1)[1]
		c.change(&row)
		if err := tab.Append(row); err == nil || !strings.Contains(err.Error(), c.words) || tab.Len() != 0 {
			t.Errorf("%s: error %v, want %q; %d rows", c.name, err, c.words, tab.Len())
		}
	}
}

func TestMetaValidate(t *testing.T) {
	paper := grid(2, 2)
	for _, c := range []struct {
		meta  Meta
		words string
	}{
		{Meta{}, "no space"},
		{Meta{Space: paper, StepSeconds: -1}, "step seconds"},
		{Meta{Space: paper, TimeScale: math.Inf(1)}, "time scale"},
		{Meta{Space: paper, Reference: -1}, "reference"},
		{Meta{Space: paper, Testbed: "a\nb"}, "one line"},
		{Meta{Space: paper, Scenario: " a"}, "outer space"},
		{Meta{Space: paper, Extra: map[string]string{"seed": "1"}}, "fixed one"},
		{Meta{Space: paper, Extra: map[string]string{"space": "1"}}, "fixed one"},
		{Meta{Space: paper, Extra: map[string]string{"a:b": "1"}}, "colon"},
		{Meta{Space: mesh.Grid(mesh.Single([]string{"a\xff"}, []string{"b"}), 2)}, "UTF-8"},
	} {
		if err := c.meta.Validate(); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want %q", c.meta, err, c.words)
		}
	}
	if err := (Meta{Space: paper}).Validate(); err != nil {
		t.Errorf("a space alone: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	var file bytes.Buffer
	table(b, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 45_343, 1)).WriteTo(&file)
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if _, err := decode(bytes.NewReader(file.Bytes()), int64(file.Len()), ReadOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
