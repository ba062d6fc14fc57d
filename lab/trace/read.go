package trace

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"

	"github.com/meshbench/meshbench/lab/mesh"
)

// ReadOptions says what Read requires of a trace.
type ReadOptions struct {
	MinRows int        // default 1
	Mesh    *mesh.Mesh // the mesh that it must be of; default any
}

// Read reads a trace file. It is strict: the first thing that is wrong is
// reported with file, row, column, value and what is accepted, and no table is
// returned. Rows count from 1; step numbers must not fall. Columns may stand in
// any order; there must be none missing and none more.
func Read(path string, o ReadOptions) (*Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return decode(path, data, o)
}

func decode(path string, data []byte, o ReadOptions) (*Table, error) {
	meta, header, headLines, err := parseHead(string(head(data)))
	if err != nil {
		return nil, fmt.Errorf("trace: %s: %w", path, err)
	}
	if o.Mesh != nil && o.Mesh.String() != meta.Mesh.String() {
		return nil, fmt.Errorf("trace: %s is of mesh %s; needed: %s", path, meta.Mesh, o.Mesh)
	}
	if err := checkHeader(header, Columns(meta.Mesh)); err != nil {
		return nil, fmt.Errorf("trace: %s: line %d: %w", path, headLines, err)
	}
	f, err := readCells(path, data, header, headLines, max(o.MinRows, 1))
	if err != nil {
		return nil, err
	}
	return f.table(meta)
}

// head is the leading # lines and the line after them.
func head(data []byte) []byte {
	end := 0
	for end < len(data) {
		comment := data[end] == '#'
		if k := bytes.IndexByte(data[end:], '\n'); k < 0 {
			end = len(data)
		} else {
			end += k + 1
		}
		if !comment {
			break
		}
	}
	return data[:end]
}

// checkHeader reports a column that is missing, unknown or there twice.
func checkHeader(have, want []string) error {
	for k, name := range have {
		if slices.Contains(have[:k], name) {
			return fmt.Errorf("column %q is there twice", name)
		}
	}
	var missing []string
	for _, name := range want {
		if !slices.Contains(have, name) {
			missing = append(missing, name)
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			// A misspelt column is best explained by the one that it stands for.
			hint := suggest(name, missing)
			return fmt.Errorf("unknown column %q%s; accepted: %s", name, hint, strings.Join(want, ", "))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("column %q is missing; needed: %s", missing[0], strings.Join(want, ", "))
	}
	return nil
}

// cells is the body of a CSV file as text, column by column.
type cells struct {
	path      string
	rows      int
	headLines int // lines before row 1
	column    map[string][]string
}

// readCells reads the body of a CSV file by gota, as text: gota's own
// detection of types would turn a misspelt number into a column of strings and
// "NA" into a missing value, without a word.
func readCells(path string, data []byte, header []string, headLines, minRows int) (*cells, error) {
	f := &cells{path: path, headLines: headLines, column: map[string][]string{}}
	df := dataframe.ReadCSV(bytes.NewReader(data),
		dataframe.WithComments('#'),
		dataframe.DetectTypes(false),
		dataframe.DefaultType(series.String),
		dataframe.NaNValues(nil))
	if df.Err != nil && !emptyBody(data) {
		return nil, fmt.Errorf("trace: %s: %w; accepted: %d cells a row", path, df.Err, len(header))
	}
	if df.Err == nil {
		f.rows = df.Nrow()
	}
	if f.rows < minRows {
		return nil, fmt.Errorf("trace: %s has %d rows; at least %d are needed", path, f.rows, minRows)
	}
	for _, name := range header {
		if f.rows > 0 {
			f.column[name] = df.Col(name).Records()
		}
	}
	return f, nil
}

// emptyBody reports whether no row follows the column names, which gota takes
// for an error.
func emptyBody(data []byte) bool {
	return len(bytes.TrimSpace(data[len(head(data)):])) == 0
}

// errorf is an error about one cell.
func (f *cells) errorf(r int, column, accepted string) error {
	return fmt.Errorf("trace: %s: row %d (line %d): column %s is %q; accepted: %s",
		f.path, r+1, f.headLines+r+1, column, f.column[column][r], accepted)
}

// parse reads a cell that is not empty. Spellings of NaN and infinity are not
// numbers.
func parse(s string, k kind) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && k.holds(v)
}

// table turns the text into typed columns.
func (f *cells) table(meta Meta) (*Table, error) {
	t := New(meta)
	t.grow(f.rows)
	// Row by row, so that the first error is the first in the file.
	list := columns(meta.Mesh)
	text := make([][]string, len(list))
	for k, c := range list {
		text[k] = f.column[c.name]
	}
	for r := range f.rows {
		step, err := strconv.Atoi(f.column["step"][r])
		if err != nil || step < 0 {
			return nil, f.errorf(r, "step", "a whole number >= 0")
		}
		if r > 0 && step < t.step[r-1] {
			return nil, f.errorf(r, "step", fmt.Sprintf("a whole number >= %d, the step before", t.step[r-1]))
		}
		t.step[r] = step
		if t.start[r], err = parseTime(f.column["start"][r]); err != nil {
			return nil, f.errorf(r, "start", "a time such as 2026-01-31T12:00:00.000Z, or empty where it is missing")
		}
		t.mark[r] = f.column["mark"][r]
		for k, c := range list {
			cell := c.cell(t, r)
			if text[k][r] == "" && !c.required {
				*cell = math.NaN()
				continue
			}
			v, ok := parse(text[k][r], c.kind)
			if !ok {
				return nil, f.errorf(r, c.name, c.accepted())
			}
			*cell = v
		}
		if err := t.Row(r).Action.Validate(meta.Mesh); err != nil {
			return nil, fmt.Errorf("trace: %s: row %d (line %d): %w", f.path, r+1, f.headLines+r+1, err)
		}
	}
	return t, nil
}

// grow makes room for n more rows of zeros.
func (t *Table) grow(n int) {
	t.step = append(t.step, make([]int, n)...)
	t.start = slices.Grow(t.start, n)[:len(t.step)]
	t.mark = slices.Grow(t.mark, n)[:len(t.step)]
	m, mn := n*t.m, n*t.m*t.n
	for _, slab := range []struct {
		column *[]float64
		n      int
	}{{&t.load, m}, {&t.route, mn}, {&t.block, m}, {&t.generated, m}, {&t.carried, m}, {&t.blocked, m}, {&t.failed, m}} {
		*slab.column = append(*slab.column, make([]float64, slab.n)...)
	}
	t.service = append(t.service, make([]mesh.Delay, m)...)
	t.node = append(t.node, make([]mesh.Delay, mn)...)
}
