// Package csvfile reads CSV files row by row, as people and programs make them,
// and says exactly where one is wrong. Of encoding/csv it differs in that it
// knows the physical line of every cell and the offset at which the last whole
// record ends, passes over a byte order mark, takes CR alone as the end of a
// line, tells compressed and UTF-16 files from text, and holds no more than one
// record, whose size is bounded.
package csvfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxRecord bounds the bytes of one record or comment.
const maxRecord = 16 << 20

// Reader reads the records of a CSV file. A line that begins with # outside of
// a quoted cell is a comment and passed over, as are empty lines.
type Reader struct {
	// Comma is what separates cells, a byte. Default ','.
	Comma byte
	// Verbatim makes a line that begins with # a record like any other.
	Verbatim bool
	// Ragged makes Read return records of any number of cells.
	Ragged bool
	// Cells is how many cells every record must have. 0 means as many as the
	// first.
	Cells int
	// Whole makes Read pass over a last record that has no line end, or whose
	// quoted cell has no end: one that was being written when its writer died.
	Whole bool

	in     *bufio.Reader
	line   int   // of the next byte, from 1
	at     int64 // offset of the next byte
	end    int64 // offset after the last record that has a line end
	begun  bool
	text   []byte // the cells of the record, one after the other
	ends   []int  // where each cell ends in text
	lines  []int  // on which each cell begins
	cells  []string
	broken error
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{Comma: ',', in: bufio.NewReaderSize(r, 1<<16), line: 1}
}

// Line is the physical line, from 1, on which the last record or comment
// begins; 1 before any.
func (r *Reader) Line() int {
	if len(r.lines) == 0 {
		return 1
	}
	return r.lines[0]
}

// CellLine is the physical line on which cell k of the last record begins.
func (r *Reader) CellLine(k int) int { return r.lines[k] }

// Next is the physical line of what is read next.
func (r *Reader) Next() int { return r.line }

// Offset is the number of bytes up to the end of the last record or comment that
// ended with a line end.
func (r *Reader) Offset() int64 { return r.end }

// errTorn ends a record that the file ends in.
var errTorn = errors.New("the file ends within it")

// begin passes over a byte order mark, and refuses what is no text.
func (r *Reader) begin() error {
	if r.begun {
		return r.broken
	}
	r.begun = true
	head, err := r.in.Peek(4)
	if err != nil && err != io.EOF {
		r.broken = err
		return err
	}
	for _, x := range []struct{ mark, what string }{
		{"\x1f\x8b", "compressed by gzip; unpack it first"},
		{"PK\x03\x04", "a zip archive or a workbook; unpack it, or save it as CSV"},
		{"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"},
		{"BZh", "compressed by bzip2; unpack it first"},
		{"\xfd7zX", "compressed by xz; unpack it first"},
		{"\xff\xfe", "in UTF-16; save it in UTF-8"},
		{"\xfe\xff", "in UTF-16; save it in UTF-8"},
	} {
		if bytes.HasPrefix(head, []byte(x.mark)) {
			r.broken = fmt.Errorf("the file is %s", x.what)
			return r.broken
		}
	}
	if bytes.HasPrefix(head, []byte("\ufeff")) {
		r.in.Discard(3)
		r.at = 3
	}
	return nil
}

// byte returns the next byte. Every line end, LF, CR LF or CR, counts one line
// and comes as '\n', its own bytes in lineEnd.
func (r *Reader) byte() (b byte, lineEnd string, err error) {
	if b, err = r.in.ReadByte(); err != nil {
		return 0, "", err
	}
	r.at++
	switch b {
	case '\n':
		r.line++
		return '\n', "\n", nil
	case '\r':
		r.line++
		if next, _ := r.in.Peek(1); len(next) == 1 && next[0] == '\n' {
			r.in.Discard(1)
			r.at++
			return '\n', "\r\n", nil
		}
		return '\n', "\r", nil
	}
	return b, "", nil
}

// Comment reads the next line if it is a comment, and returns it without the #.
// It is false, and reads nothing, where the next line is none.
func (r *Reader) Comment() (text string, ok bool, err error) {
	if err := r.begin(); err != nil {
		return "", false, err
	}
	if next, err := r.in.Peek(1); err == io.EOF || err == nil && next[0] != '#' {
		return "", false, nil
	} else if err != nil {
		return "", false, r.fail(err)
	}
	r.lines = append(r.lines[:0], r.line)
	r.text = r.text[:0]
	for {
		b, lineEnd, err := r.byte()
		if lineEnd != "" || err == io.EOF {
			if lineEnd != "" {
				r.end = r.at
			}
			return string(r.text[1:]), true, nil
		}
		if err != nil {
			return "", false, r.fail(err)
		}
		if r.text = append(r.text, b); len(r.text) > maxRecord {
			return "", false, r.fail(r.tooLong())
		}
	}
}

func (r *Reader) fail(err error) error {
	r.broken = err
	return err
}

func (r *Reader) tooLong() error {
	return fmt.Errorf("line %d: a line or quoted cell of more than %d MB", r.lines[0], maxRecord>>20)
}

// Read returns the cells of the next record, valid until the next call, and
// io.EOF after the last. Errors name the line; after one every call returns it.
func (r *Reader) Read() ([]string, error) {
	for {
		if err := r.begin(); err != nil {
			return nil, err
		}
		next, err := r.in.Peek(1)
		switch {
		case err != nil:
			return nil, r.fail(err)
		case next[0] == '\n' || next[0] == '\r':
			r.byte()
			r.end = r.at
			continue
		case next[0] == '#' && !r.Verbatim:
			if _, _, err := r.Comment(); err != nil {
				return nil, err
			}
			continue
		}
		ended, err := r.record()
		if r.Whole && (err == errTorn || err == nil && !ended) {
			if r.manyLines() {
				return nil, r.fail(fmt.Errorf("line %d: a quoted cell has no end; it takes in whole records after it", r.lines[len(r.lines)-1]))
			}
			return nil, r.fail(io.EOF)
		}
		if err == errTorn {
			return nil, r.fail(fmt.Errorf("line %d: a quoted cell has no end", r.lines[len(r.lines)-1]))
		}
		if err != nil {
			return nil, r.fail(err)
		}
		if ended {
			r.end = r.at
		}
		if r.Cells == 0 {
			r.Cells = len(r.ends)
		}
		if len(r.ends) != r.Cells && !r.Ragged {
			return nil, r.fail(fmt.Errorf("line %d has %d cells; accepted: %d", r.lines[0], len(r.ends), r.Cells))
		}
		text, start := string(r.text), 0
		r.cells = r.cells[:0]
		for _, end := range r.ends {
			r.cells = append(r.cells, text[start:end])
			start = end
		}
		return r.cells, nil
	}
}

// record reads one record into text, ends and lines, and tells whether a line
// end follows it.
func (r *Reader) record() (ended bool, err error) {
	r.text, r.ends, r.lines = r.text[:0], r.ends[:0], append(r.lines[:0], r.line)
	const (
		start  = iota // of a cell
		plain         // in a cell without quotes
		quoted        // in quotes
		after         // after a quote in quotes: its end, or the first of two
	)
	state := start
	for {
		b, lineEnd, err := r.byte()
		if err == io.EOF {
			if state == quoted {
				return false, errTorn
			}
			r.ends = append(r.ends, len(r.text))
			return false, nil
		}
		if err != nil {
			return false, err
		}
		switch {
		case state == quoted && b == '"':
			state = after
		case state == quoted && lineEnd != "":
			r.text = append(r.text, lineEnd...)
		case state == quoted:
			r.text = append(r.text, b)
		case lineEnd != "":
			r.ends = append(r.ends, len(r.text))
			return true, nil
		case b == r.Comma:
			r.ends = append(r.ends, len(r.text))
			r.lines = append(r.lines, r.line)
			state = start
		case b == '"' && state == start:
			state = quoted
		case b == '"' && state == after: // two quotes stand for one
			r.text = append(r.text, '"')
			state = quoted
		case b == '"':
			return false, fmt.Errorf("line %d: a quote within a cell that does not begin with one", r.line)
		case state == after:
			return false, fmt.Errorf("line %d: text after the end of a quoted cell", r.line)
		default:
			r.text = append(r.text, b)
			state = plain
		}
		if len(r.text) > maxRecord || len(r.ends) > maxRecord/4 {
			return false, r.tooLong()
		}
	}
}

// telling is the number of cells from which a line of text hardly has as many
// commas by chance.
const telling = 8

// manyLines reports whether a cell without an end has a whole line with as many
// cells as a record: then a stray quote, not the end of the file, tore it.
func (r *Reader) manyLines() bool {
	start := 0
	if n := len(r.ends); n > 0 {
		start = r.ends[n-1]
	}
	_, rest, ended := strings.Cut(string(r.text[start:]), "\n")
	for ended && r.Cells >= telling {
		var line string
		if line, rest, ended = strings.Cut(rest, "\n"); ended && strings.Count(line, string(rune(r.Comma))) == r.Cells-1 {
			return true
		}
	}
	return false
}
