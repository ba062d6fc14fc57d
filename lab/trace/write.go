package trace

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// WriteTo writes the trace as a file of its own schema.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	if err := t.meta.Validate(); err != nil {
		return 0, err
	}
	list := columns(t.meta.Mesh)
	line := appendHead(nil, t.meta)
	var written int64
	for r := -1; r < t.Len(); r++ {
		if r >= 0 {
			line = appendRow(line, t, r, list)
		}
		if len(line) < 1<<16 && r < t.Len()-1 {
			continue
		}
		n, err := w.Write(line)
		written += int64(n)
		if err != nil {
			return written, fmt.Errorf("trace: writing: %w", err)
		}
		line = line[:0]
	}
	return written, nil
}

// Write writes the trace to a file: either the whole file is there afterwards,
// or what was there before. Response times are rounded to 0.1 microseconds,
// all else is exact; reading the file and writing it again gives the same
// bytes.
func (t *Table) Write(path string) error {
	return writeAtomic(path, func(w io.Writer) error {
		_, err := t.WriteTo(w)
		return err
	})
}

// writeAtomic lets write fill a temporary file beside path and renames it.
func writeAtomic(path string, write func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("trace: writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, step := range []func() error{
		func() error { return f.Chmod(0o644) },
		f.Sync,
		f.Close,
		func() error { return os.Rename(f.Name(), path) },
		func() error { return syncDir(filepath.Dir(path)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("trace: writing %s: %w", path, err)
		}
	}
	return nil
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
