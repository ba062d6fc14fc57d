// Package atomicfile writes files whole or not at all.
package atomicfile

import (
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Write puts data into the file at path, whose folder it makes. Who reads the
// path sees the old content or the new, never a part. What is there and is no
// regular file stays, which is an error.
func Write(path string, data []byte) (err error) {
	if err := regular.Free(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
