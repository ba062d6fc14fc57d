package trace

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/internal/csvfile"
)

// syncRows is the number of rows after which an Appender makes the file last.
const syncRows = 20

// Appender adds rows to a trace file while it is being collected.
//
// A row is one write of one whole line: a process that is killed at any moment
// leaves all rows that Append returned from, and at most a torn last line,
// which the next Appender cuts off. A computer that loses power may lose the
// rows since the last sync, at most 20.
type Appender struct {
	file  *appendfile.File
	path  string
	table *Table // checks rows and holds the one being written
	line  []byte
	rows  int
	next  int
}

// OpenAppender opens a trace file to add rows to, making it and its folder when
// there is none. It refuses a file of another space, schema or head, naming the
// difference, a file that another Appender has open (on systems with flock), and
// what is not a regular file. What it does not refuse is read whole and checked
// as by Read. A file of format version 1 goes on in that version.
func OpenAppender(path string, meta Meta) (*Appender, error) {
	if err := meta.Validate(); err != nil {
		return nil, err
	}
	a := &Appender{path: path, table: New(meta)}
	var refused error
	file, err := appendfile.Open(path, func(r io.Reader) (size int64, err error) {
		size, err = a.resume(r)
		refused = err
		return size, err
	})
	switch {
	case refused != nil:
		return nil, in(path, refused)
	case err != nil:
		return nil, fmt.Errorf("trace: %w", err)
	}
	a.file = file
	if file.Size() > 0 {
		return a, nil
	}
	if err := file.Append(appendHead(nil, a.table.meta)); err != nil {
		file.Close()
		return nil, in(path, err)
	}
	return a, nil
}

// resume reads what the file holds, and returns the size of its whole rows: 0
// for a new file, and for one whose maker was killed while writing the head.
func (a *Appender) resume(file io.Reader) (size int64, err error) {
	head := appendHead(nil, a.table.meta)
	begin := make([]byte, len(head))
	n, err := io.ReadFull(file, begin)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return 0, err
	}
	if n < len(head) && bytes.HasPrefix(head, begin[:n]) {
		return 0, nil
	}
	r := csvfile.NewReader(io.MultiReader(bytes.NewReader(begin[:n]), file))
	r.Whole = true
	h, err := readHead(r)
	if err != nil {
		return 0, err
	}
	if difference := h.other(a.table.meta); difference != "" {
		return 0, fmt.Errorf("it is another trace: %s; give a new file to collect into", difference)
	}
	if !slices.Equal(h.header, columnNames(a.table.columns)) {
		return 0, fmt.Errorf("it has other columns than this program writes; give a new file to collect into")
	}
	t := a.table.like()
	if err := t.readRows(r, h.header, 0); err != nil {
		return 0, err
	}
	a.rows, a.next = t.Len(), t.Next()
	return r.Offset(), nil
}

// Dropped is the torn last line that OpenAppender cut off, "" when there was
// none.
func (a *Appender) Dropped() string { return a.file.Dropped() }

// Rows is the number of rows in the file.
func (a *Appender) Rows() int { return a.rows }

// Next is the step after the last one in the file, 0 for an empty trace: where
// collection goes on.
func (a *Appender) Next() int { return a.next }

// Append adds one row, whole or not at all. Its step must be Next or later;
// what is wrong with it is reported as by Table.Append.
func (a *Appender) Append(row Row) error {
	if row.Step < a.next {
		return fmt.Errorf("trace: %s: step %d is already there; the next is %d", a.path, row.Step, a.next)
	}
	a.table.cut(0)
	if err := a.table.Append(row); err != nil {
		return err
	}
	a.line = appendRow(a.line[:0], a.table, 0)
	if err := a.file.Append(a.line); err != nil {
		return fmt.Errorf("trace: step %d: %w", row.Step, err)
	}
	a.rows++
	a.next = row.Step + 1
	if a.rows%syncRows == 0 {
		if err := a.file.Sync(); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	}
	return nil
}

// Close makes the file last and closes it.
func (a *Appender) Close() error {
	if err := a.file.Close(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}
