package trace

import (
	"bytes"
	"fmt"
	"io"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// WriteTo writes the trace as a file of its own schema.
func (t *Table) WriteTo(w io.Writer) (int64, error) {
	if err := t.meta.Validate(); err != nil {
		return 0, err
	}
	list := columns(t.meta.Mesh)
	text := appendHead(nil, t.meta)
	for r := range t.Len() {
		text = appendRow(text, t, r, list)
	}
	n, err := w.Write(text)
	return int64(n), err
}

// Write writes the trace to a file, whose folder it makes: either the whole
// file is there afterwards, or what was there before. Response times are rounded to 0.1 microseconds,
// all else is exact; reading the file and writing it again gives the same
// bytes.
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
