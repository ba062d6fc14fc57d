// Package appendfile adds records to a file that a program may be killed, or a
// disk full, while writing.
//
// A record is one write. A process that is killed at any moment leaves every
// record that Append returned from, and at most a torn last one, which the next
// Open cuts off. A computer that loses power may lose the records since the
// last Sync. A file is written by one process at a time, on systems with flock.
package appendfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/filelock"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// File is a file that records are added to. One goroutine uses one File.
type File struct {
	file    *os.File
	path    string
	size    int64
	dropped string
}

// maxDropped bounds what Dropped returns.
const maxDropped = 64 << 10

// Open opens the file at path to append to, making it and its folder where there
// is none. It refuses what is not a regular file, and a file that another File
// has open. Then valid reads what is there and returns the size of its part that
// is whole, 0 where it is to be begun again: the rest is cut off. An error of
// valid is returned as it is, and leaves the file as it was.
func Open(path string, valid func(r io.Reader) (size int64, err error)) (*File, error) {
	if err := regular.Free(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := regular.Open(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	a := &File{file: f, path: path}
	if err := a.resume(valid); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// Lines is what Open takes for a file of lines, whatever they say: what follows the
// last line break is torn.
func Lines(r io.Reader) (size int64, err error) {
	var at int64
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if k := bytes.LastIndexByte(buf[:n], '\n'); k >= 0 {
			size = at + int64(k) + 1
		}
		if at += int64(n); err == io.EOF {
			return size, nil
		} else if err != nil {
			return size, err
		}
	}
}

func (a *File) resume(valid func(io.Reader) (int64, error)) error {
	if err := filelock.Try(a.file); err != nil {
		return fmt.Errorf("%s is being written by another process: %w", a.path, err)
	}
	size, err := valid(a.file)
	if err != nil {
		return err
	}
	all, err := a.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size < 0 || size > all {
		return fmt.Errorf("%s: %d bytes are valid of %d", a.path, size, all)
	}
	if size < all {
		var b strings.Builder
		if _, err := io.Copy(&b, io.NewSectionReader(a.file, size, min(all-size, maxDropped))); err != nil {
			return err
		}
		if err := a.file.Truncate(size); err != nil {
			return fmt.Errorf("cutting off a torn last record: %w", err)
		}
		a.dropped = b.String()
	}
	a.size, err = a.file.Seek(size, io.SeekStart)
	return err
}

// Dropped is what Open cut off, at most 64 KB of it.
func (a *File) Dropped() string { return a.dropped }

// Size is the number of bytes of the file's whole records.
func (a *File) Size() int64 { return a.size }

// Append writes one record, whole or not at all.
func (a *File) Append(record []byte) error {
	n, err := a.file.Write(record)
	if err == nil {
		a.size += int64(n)
		return nil
	}
	// A full disk leaves part of the record; take it back. When that fails too,
	// the next Open cuts it off.
	if e := a.file.Truncate(a.size); e != nil {
		err = errors.Join(err, e)
	}
	if _, e := a.file.Seek(a.size, io.SeekStart); e != nil {
		err = errors.Join(err, e)
	}
	return err
}

// Sync makes the file last.
func (a *File) Sync() error { return a.file.Sync() }

// Close makes the file last and closes it.
func (a *File) Close() error {
	err := a.file.Sync()
	if e := a.file.Close(); err == nil {
		err = e
	}
	return err
}
