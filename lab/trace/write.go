package trace

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/csvfile"
)

// timeLayout keeps milliseconds; times are written in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// resolution is that of times in a file, in seconds: far below what can be
// measured over a network, and half the digits of a float64. Times above
// exactFrom, which have no such digits to lose, are written exactly.
const (
	resolution = 1e-7
	exactFrom  = 1e7
)

// appendRow writes row r of t as one line.
func appendRow(dst []byte, t *Table, r int) []byte {
	dst = strconv.AppendInt(dst, int64(t.step[r]), 10)
	dst = append(dst, ',')
	if !t.start[r].IsZero() {
		dst = t.start[r].UTC().AppendFormat(dst, timeLayout)
	}
	for k := range t.columns {
		c := &t.columns[k]
		dst = append(dst, ',')
		v := *c.cell(t, r)
		switch {
		case missing(v):
		case c.Kind == Seconds && v < exactFrom:
			dst = strconv.AppendFloat(dst, math.Round(v/resolution)/(1/resolution), 'f', -1, 64)
		default:
			dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		}
	}
	dst = append(dst, ',')
	dst = append(dst, csvfile.Field(t.mark[r])...)
	return append(dst, '\n')
}

// WriteTo writes the trace as a file of its own schema. It is an error when
// steps fall.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	if err := t.meta.Validate(); err != nil {
		return 0, err
	}
	for r := 1; r < t.Len(); r++ {
		if t.step[r] < t.step[r-1] {
			return 0, fmt.Errorf("trace: row %d: step %d after step %d; in a file steps do not fall", r+1, t.step[r], t.step[r-1])
		}
	}
	c := &counter{w: w}
	b := bufio.NewWriterSize(c, 1<<16)
	line := appendHead(nil, t.meta)
	b.Write(line)
	for r := range t.Len() {
		line = appendRow(line[:0], t, r)
		if _, err := b.Write(line); err != nil {
			return c.n, err
		}
	}
	err := b.Flush()
	return c.n, err
}

// counter counts what is written to w.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// Write writes the trace to a file, whose folder it makes: either the whole
// file is there afterwards, or what was there before. Response times are rounded
// to 0.1 microseconds, all else is exact; reading the file and writing it again
// gives the same bytes.
func (t *Table) Write(path string) error {
	var b bytes.Buffer
	if _, err := t.WriteTo(&b); err != nil {
		return fmt.Errorf("%w (writing %s)", err, path)
	}
	if err := atomicfile.Write(path, b.Bytes()); err != nil {
		return fmt.Errorf("trace: writing %s: %w", path, err)
	}
	return nil
}
