package trace

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
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
	file    *os.File
	path    string
	table   *Table // empty; checks rows and holds the one being written
	columns []column
	line    []byte
	size    int64 // of the file's whole lines
	rows    int
	next    int
	dropped string
}

// OpenAppender opens a trace file to add rows to, making it and its folder when
// there is none. It refuses a file of another mesh, schema or head, naming the
// difference, and a file that another Appender has open (on systems with
// flock). What it does not refuse is read whole and checked as by Read.
func OpenAppender(path string, meta Meta) (*Appender, error) {
	if err := meta.Validate(); err != nil {
		return nil, err
	}
	meta = meta.defaults()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("trace: %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	a := &Appender{file: f, path: path, table: New(meta), columns: columns(meta.Mesh)}
	if err := a.resume(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// resume takes over what the file holds and leaves it at its end.
func (a *Appender) resume() error {
	if err := lock(a.file); err != nil {
		return fmt.Errorf("trace: %s is being written by another process: %w", a.path, err)
	}
	data, err := io.ReadAll(a.file)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	// A new file, or one whose maker was killed while writing the head.
	if want := appendHead(nil, a.table.meta); len(data) < len(want) && bytes.HasPrefix(want, data) {
		if _, err := a.file.WriteAt(want, 0); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
		data = want
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	have, header, _, err := parseHead(string(head(whole)))
	if err != nil {
		return fmt.Errorf("trace: %s: %w", a.path, err)
	}
	if difference := sameTrace(have, a.table.meta); difference != "" {
		return fmt.Errorf("trace: %s is another trace: %s; give a new file to collect into", a.path, difference)
	}
	if !slices.Equal(header, Columns(a.table.meta.Mesh)) {
		return fmt.Errorf("trace: %s has other columns than this program writes; give a new file to collect into", a.path)
	}
	if !emptyBody(whole) {
		t, err := decode(a.path, whole, ReadOptions{})
		if err != nil {
			return err
		}
		a.rows, a.next = t.Len(), t.Next()
	}
	if a.dropped = string(data[len(whole):]); a.dropped != "" {
		if err := a.file.Truncate(int64(len(whole))); err != nil {
			return fmt.Errorf("trace: cutting off the torn last line: %w", err)
		}
	}
	a.size, err = a.file.Seek(int64(len(whole)), io.SeekStart)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// Dropped is the torn last line that OpenAppender cut off, "" when there was
// none.
func (a *Appender) Dropped() string { return a.dropped }

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
	a.table = New(a.table.meta)
	if err := a.table.Append(row); err != nil {
		return err
	}
	a.line = appendRow(a.line[:0], a.table, 0, a.columns)
	if _, err := a.file.Write(a.line); err != nil {
		// A full disk leaves part of the line; take it back. When that fails
		// too, the next Appender drops it.
		a.file.Truncate(a.size)
		a.file.Seek(a.size, io.SeekStart)
		return fmt.Errorf("trace: step %d: %w", row.Step, err)
	}
	a.size += int64(len(a.line))
	a.rows++
	a.next = row.Step + 1
	if a.rows%syncRows == 0 {
		return a.sync()
	}
	return nil
}

func (a *Appender) sync() error {
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}

// Close makes the file last and closes it.
func (a *Appender) Close() error {
	err := a.sync()
	if e := a.file.Close(); err == nil && e != nil {
		err = fmt.Errorf("trace: %w", e)
	}
	return err
}
