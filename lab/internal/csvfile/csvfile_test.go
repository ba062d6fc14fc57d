package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// record is what Read gives, and where.
type record struct {
	cells []string
	line  int
}

func all(r *Reader) (list []record, err error) {
	for {
		cells, err := r.Read()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, record{slices.Clone(cells), r.Line()})
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []record
	}{
		{"nothing", "", nil},
		{"empty lines and comments", "\n# a\n\r\n#b,\"c\n", nil},
		{"LF", "a,b\n1,2\n", []record{{[]string{"a", "b"}, 1}, {[]string{"1", "2"}, 2}}},
		{"CR LF", "a,b\r\n1,2\r\n", []record{{[]string{"a", "b"}, 1}, {[]string{"1", "2"}, 2}}},
		{"CR", "a,b\r1,2\r", []record{{[]string{"a", "b"}, 1}, {[]string{"1", "2"}, 2}}},
		{"no end of the last line", "a,b\n1,2", []record{{[]string{"a", "b"}, 1}, {[]string{"1", "2"}, 2}}},
		{"byte order mark", "\ufeffa,b\n", []record{{[]string{"a", "b"}, 1}}},
		{"byte order mark before a comment", "\ufeff# x\na,b\n", []record{{[]string{"a", "b"}, 2}}},
		{"lines that count", "# head\n\na,b\n\n# c\n\"x\r\ny\",\"\"\"\"\n3,#\n",
			[]record{{[]string{"a", "b"}, 3}, {[]string{"x\r\ny", `"`}, 6}, {[]string{"3", "#"}, 8}}},
		{"a quoted cell that begins with #", "\"#a\",b\n", []record{{[]string{"#a", "b"}, 1}}},
		{"empty cells", ",\n\"\",\n", []record{{[]string{"", ""}, 1}, {[]string{"", ""}, 2}}},
	} {
		got, err := all(NewReader(strings.NewReader(c.text)))
		if err != nil || !slices.EqualFunc(got, c.want, func(a, b record) bool { return a.line == b.line && slices.Equal(a.cells, b.cells) }) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct{ name, text, words string }{
		{"cell too few", "a,b\n\n1\n", "line 3 has 1 cells; accepted: 2"},
		{"cell too many", "a,b\r1,2,3\r", "line 2 has 3 cells; accepted: 2"},
		{"quote in a cell", "a,b\n1,2\"\n", "line 2: a quote within"},
		{"text after a quote", "a,b\n\"1\n\"x,2\n", "line 3: text after"},
		{"quote without an end", "a,b\n1,2\n3,\"4\n5,6\n", "line 3: a quoted cell has no end"},
		{"endless line", "a,b\n" + strings.Repeat("x", maxRecord+1), "line 2: a line or quoted cell of more than 16 MB"},
		{"endless cells", "a,b\n" + strings.Repeat(",", maxRecord+1), "line 2: a line"},
		{"endless comment", "#" + strings.Repeat("x", maxRecord+1), "line 1: a line"},
		{"gzip", "\x1f\x8b\x08\x00\x00", "gzip"},
		{"workbook", "PK\x03\x04", "workbook"},
		{"UTF-16", "\xff\xfea\x00", "UTF-16"},
	} {
		r := NewReader(strings.NewReader(c.text))
		_, err := all(r)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.name, err, c.words)
		}
		if _, again := r.Read(); again != err {
			t.Errorf("%s: then %v", c.name, again)
		}
	}
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(strings.NewReader("a,b\n1"), iotest{broken}))
	if _, err := all(r); !errors.Is(err, broken) {
		t.Errorf("an error of reading: %v", err)
	}
}

type iotest struct{ err error }

func (x iotest) Read([]byte) (int, error) { return 0, x.err }

func TestSettings(t *testing.T) {
	r := NewReader(strings.NewReader("#a;b,c\n\n1\n\"x;y\";2;3\n"))
	r.Comma, r.Verbatim, r.Ragged = ';', true, true
	got, err := all(r)
	want := []record{{[]string{"#a", "b,c"}, 1}, {[]string{"1"}, 3}, {[]string{"x;y", "2", "3"}, 4}}
	if err != nil || !slices.EqualFunc(got, want, func(a, b record) bool { return a.line == b.line && slices.Equal(a.cells, b.cells) }) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func TestComment(t *testing.T) {
	r := NewReader(strings.NewReader("# one\r\n#\n\n# not of the head\na,b\n"))
	for _, want := range []string{" one", ""} {
		if got, ok, err := r.Comment(); got != want || !ok || err != nil {
			t.Errorf("comment %q, %v, %v; want %q", got, ok, err, want)
		}
	}
	if got, ok, err := r.Comment(); ok || err != nil {
		t.Errorf("a comment %q after the head, %v", got, err)
	}
	if cells, err := r.Read(); err != nil || !slices.Equal(cells, []string{"a", "b"}) || r.Line() != 5 {
		t.Errorf("%v, %v, line %d", cells, err, r.Line())
	}
}

func TestCellLine(t *testing.T) {
	r := NewReader(strings.NewReader("a,b,c\n\"1\n\n\",2,\"\r\n\"\n"))
	r.Read()
	if _, err := r.Read(); err != nil || r.CellLine(0) != 2 || r.CellLine(1) != 4 || r.CellLine(2) != 4 || r.Next() != 6 {
		t.Errorf("lines %d %d %d, then %d, %v", r.CellLine(0), r.CellLine(1), r.CellLine(2), r.Next(), err)
	}
}

// Wherever a file is cut, its whole records are read, and the offset is where
// they end.
func TestWhole(t *testing.T) {
	text := "\ufeff# head\na,b\n1,2\n\n3,\"x\ny, \"\"z\"\"\n\"\n# c\n4,5\n"
	ends := []int{0}
	for _, part := range []string{"a,b\n", "1,2\n", "\"\n# c\n", "4,5\n"} {
		ends = append(ends, strings.Index(text, part)+len(part))
	}
	ends[3] -= len("# c\n")
	for size := range len(text) + 1 {
		r := NewReader(strings.NewReader(text[:size]))
		r.Whole = true
		got, err := all(r)
		want := 0
		for want < len(ends)-1 && ends[want+1] <= size {
			want++
		}
		if err != nil || len(got) != want {
			t.Errorf("cut at %d: %d records, %v; want %d", size, len(got), err, want)
		}
		if rest := text[r.Offset():size]; r.Offset() < int64(ends[want]) || strings.TrimSpace(rest) != "" && strings.HasSuffix(rest, "\n") && !strings.Contains(rest, `"`) {
			t.Errorf("cut at %d: whole up to %d, at least %d", size, r.Offset(), ends[want])
		}
	}
	// A stray quote is not a torn end: what follows it must not be cut off.
	r := NewReader(strings.NewReader("a,b,c,d,e,f,g,h\n1,\"2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8\n"))
	r.Whole = true
	if _, err := all(r); err == nil || !strings.Contains(err.Error(), "line 2: a quoted cell has no end; it takes in whole records") {
		t.Errorf("a stray quote: %v", err)
	}
}

func TestCheck(t *testing.T) {
	want := []string{"step", "l1", "cl1"}
	for _, c := range []struct {
		have  []string
		words string
	}{
		{[]string{"cl1", "l1", "step"}, ""},
		{[]string{"step", "l1", "l1", "cl1"}, `"l1" is there twice`},
		{[]string{"step", "l1", "c11"}, `unknown column "c11" (did you mean "cl1"?); accepted: step, l1, cl1`},
		{[]string{"step", "cl1"}, `"l1" is missing`},
		{[]string{strings.Repeat("x", 100)}, `"` + strings.Repeat("x", 40) + `..."`},
	} {
		err := Check(c.have, want)
		if c.words == "" && err != nil || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%v: %v, want %q", c.have, err, c.words)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Short("abc"), "abc"},
		{Short(strings.Repeat("é", 41)), strings.Repeat("é", 40) + "..."},
		{Quote("a\nb"), `"a\nb"`},
		{List([]string{"a", "", "b c"}), `a, "", "b c"`},
		{Field(""), ""}, {Field(`a"b`), `"a""b"`}, {Field("#"), `"#"`}, {Field("a b"), "a b"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if many := List(slices.Repeat([]string{"name"}, 10_000)); len(many) > 700 || !strings.Contains(many, "10000 in all") {
		t.Errorf("a list of %d bytes", len(many))
	}
}

// What encoding/csv writes is read back, and what both read is the same.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a,b\n1,\"2\n\"\n", "\"\"\"\",\r\n,\n", "# c\nx\n", "a\rb\r", "\ufeffa\n", "\"a", "a\"b\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := all(NewReader(strings.NewReader(text)))
		whole := NewReader(strings.NewReader(text))
		whole.Whole = true
		part, partErr := all(whole)
		if err == nil && (partErr != nil || len(part) > len(got) || len(part) < len(got)-1) || whole.Offset() > int64(len(text)) {
			t.Fatalf("%d records, whole ones %d, %v, up to %d of %d bytes", len(got), len(part), partErr, whole.Offset(), len(text))
		}
		if err == nil && partErr == nil {
			again, err := all(NewReader(strings.NewReader(text[:whole.Offset()])))
			if err != nil || len(again) != len(part) {
				t.Fatalf("the whole part has %d records, then %d, %v", len(part), len(again), err)
			}
		}
		if err != nil {
			return
		}
		// Written by Field and read again, all is the same.
		var own, theirs bytes.Buffer
		w := csv.NewWriter(&theirs)
		for _, x := range got {
			for k, cell := range x.cells {
				if k > 0 {
					own.WriteByte(',')
				}
				if len(x.cells) == 1 && cell == "" {
					cell = "-" // one empty cell is an empty line
				}
				x.cells[k] = cell
				own.WriteString(Field(cell))
			}
			own.WriteByte('\n')
			w.Write(x.cells)
		}
		w.Flush()
		for name, b := range map[string]*bytes.Buffer{"Field": &own, "encoding/csv": &theirs} {
			if name == "encoding/csv" && strings.Contains(text, "#") {
				continue // which does not quote a cell that looks like a comment
			}
			again, err := all(NewReader(io.MultiReader(strings.NewReader("\ufeff"), b)))
			if err != nil || len(again) != len(got) {
				t.Fatalf("written by %s: %d records, then %d, %v", name, len(got), len(again), err)
			}
			for k := range got {
				if !slices.Equal(got[k].cells, again[k].cells) {
					t.Fatalf("written by %s: %q, then %q", name, got[k].cells, again[k].cells)
				}
			}
		}
	})
}
