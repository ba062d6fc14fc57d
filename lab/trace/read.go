package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

// ReadOptions says what Read requires of a trace.
type ReadOptions struct {
	MinRows int // default 1
	// Space is that of the table: its mesh and knobs must be those of the trace,
	// whose points and limits may be others. Default the trace's own.
	Space *mesh.Space
}

// Read reads a trace file. It is strict: the first thing that is wrong is
// reported with file, row, line, column, value and what is accepted, and no
// table is returned. Rows count from 1; step numbers must not fall. Columns may
// stand in any order; there must be none missing and none more. A pipe or device
// is refused.
func Read(path string, o ReadOptions) (*Table, error) {
	f, size, err := regular.Read(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	t, err := decode(f, size, o)
	if err != nil {
		return nil, in(path, err)
	}
	return t, nil
}

// fileError is an error about a file.
type fileError struct {
	path string
	err  error
}

func in(path string, err error) error { return &fileError{path, err} }

func (e *fileError) Error() string {
	return "trace: " + e.path + ": " + strings.TrimPrefix(e.err.Error(), "trace: ")
}

func (e *fileError) Unwrap() error { return e.err }

// noEOF is err, or what the end of the file means here.
func noEOF(err, end error) error {
	if err == io.EOF {
		return end
	}
	return err
}

// decode reads a trace of about size bytes, 0 when that is not known.
func decode(r io.Reader, size int64, o ReadOptions) (*Table, error) {
	in := csvfile.NewReader(r)
	h, err := readHead(in)
	if err != nil {
		return nil, err
	}
	if o.Space != nil && !o.Space.Same(h.meta.Space) {
		return nil, fmt.Errorf("it is of %s; needed: %s", h.meta.what(), spaceText(o.Space))
	}
	if o.Space != nil {
		h.meta.Space = o.Space
	}
	if err := csvfile.Check(h.header, columnNames(h.meta.columns())); err != nil {
		return nil, fmt.Errorf("line %d: %w", h.line, err)
	}
	t := New(h.meta)
	if err := t.readRows(in, h.header, size); err != nil {
		return nil, err
	}
	if least := max(o.MinRows, 1); t.Len() < least {
		return nil, fmt.Errorf("%d rows; at least %d are needed", t.Len(), least)
	}
	return t, nil
}

// rows reads the rows after a header.
type rows struct {
	in     *csvfile.Reader
	header []string
	n      int      // rows read
	cells  []string // of the last
}

// next reads a row. It is false after the last.
func (r *rows) next() (bool, error) {
	cells, err := r.in.Read()
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("row %d: %w", r.n+1, err)
	}
	r.cells, r.n = cells, r.n+1
	return true, nil
}

// at says which row the reader is at, in an error.
func (r *rows) at(line int) string { return fmt.Sprintf("row %d (line %d)", r.n, line) }

// errorf is an error about cell k of the row.
func (r *rows) errorf(k int, accepted string) error {
	return fmt.Errorf("%s: column %s is %s; accepted: %s", r.at(r.in.CellLine(k)), csvfile.Short(r.header[k]), csvfile.Quote(r.cells[k]), accepted)
}

// number reads cell k, which is not empty. Spellings of NaN and infinity are not
// numbers.
func number(s string, k Kind) (float64, bool) {
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && k.holds(v)
}

// sampleRows is how many rows tell how long rows are.
const sampleRows = 100

// readRows appends the rows of a file of about size bytes.
func (t *Table) readRows(in *csvfile.Reader, header []string, size int64) error {
	place := map[string]int{}
	for k, name := range header {
		place[name] = k
	}
	step, start, mark := place["step"], place["start"], place["mark"]
	cell := make([]int, len(t.columns))
	for k, c := range t.columns {
		cell[k] = place[c.Name]
	}
	begin := in.Offset()
	for r := (&rows{in: in, header: header}); ; {
		more, err := r.next()
		if err != nil || !more {
			return err
		}
		// Room for all that is left, so that columns are not copied as they grow.
		if r.n == sampleRows && size > in.Offset() {
			t.reserve(int(float64(size-in.Offset())/float64(in.Offset()-begin)*sampleRows*1.01) + sampleRows)
		}
		at := t.Len()
		t.grow()
		if t.step[at], err = strconv.Atoi(r.cells[step]); err != nil || t.step[at] < 0 {
			return r.errorf(step, "a whole number >= 0")
		}
		if at > 0 && t.step[at] < t.step[at-1] {
			return r.errorf(step, fmt.Sprintf("a whole number >= %d, the step before", t.step[at-1]))
		}
		if t.start[at], err = parseTime(r.cells[start]); err != nil {
			return r.errorf(start, "a time such as 2026-01-31T12:00:00.000Z, or empty where it is missing")
		}
		t.mark[at] = oneLine(strings.Clone(r.cells[mark]))
		for k := range t.columns {
			c := &t.columns[k]
			s := r.cells[cell[k]]
			if s == "" && !c.Required {
				*c.cell(t, at) = math.NaN()
				continue
			}
			v, ok := number(s, c.Kind)
			if !ok {
				return r.errorf(cell[k], c.Accepted())
			}
			*c.cell(t, at) = v
		}
		if err := t.meta.Space.ValidateInForce(t.actionOf(at)); err != nil {
			return fmt.Errorf("%s: %w", r.at(in.Line()), err)
		}
	}
}

// grow adds a row of zeros.
func (t *Table) grow() {
	t.step, t.start, t.mark = append(t.step, 0), append(t.start, time.Time{}), append(t.mark, "")
	for _, slab := range t.slabs() {
		for range slab.width {
			*slab.column = append(*slab.column, 0)
		}
	}
	for range t.m {
		t.service = append(t.service, mesh.Delay{})
	}
	for range t.e {
		t.endpoint = append(t.endpoint, mesh.Delay{})
	}
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if y := at.UTC().Year(); err == nil && (y < 0 || y > 9999) {
		err = errors.New("year")
	}
	return at, err
}

// SHA256 returns the hash of a file in hexadecimal, as sha256sum prints it.
func SHA256(path string) (string, error) {
	f, _, err := regular.Read(path)
	if err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("trace: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
