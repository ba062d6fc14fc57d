package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Store keeps objects that are never changed. Names are words with slashes between
// them. It may be used by any number of goroutines and processes.
type Store interface {
	// Get returns an object; ErrAbsent where there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	// PutIfAbsent writes an object whole, unless there is one of that name, and
	// reports whether it was written.
	PutIfAbsent(ctx context.Context, name string, data []byte) (bool, error)
	// List returns the names of objects that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
}

// ErrAbsent is the error of an object that is not there.
var ErrAbsent = errors.New("sweep: there is no such object")

// Folder is a Store in a folder of this machine or of a shared volume, a file an
// object. It needs hard links, which make a file appear whole and once.
type Folder struct{ Dir string }

var _ Store = Folder{}

func (f Folder) path(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("sweep: object %q; accepted: words with slashes between them", name)
	}
	return filepath.Join(f.Dir, filepath.FromSlash(name)), nil
}

// Get reads a file.
func (f Folder) Get(_ context.Context, name string) ([]byte, error) {
	path, err := f.path(name)
	if err != nil {
		return nil, err
	}
	b, err := regular.ReadFile(path, regular.Any)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", ErrAbsent, name, f.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return b, nil
}

// PutIfAbsent writes a file under another name, and links it.
func (f Folder) PutIfAbsent(_ context.Context, name string, data []byte) (done bool, err error) {
	path, err := f.path(name)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("sweep: write %s: %w", name, err)
		}
	}()
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	t, err := os.CreateTemp(dir, ".new-*") // no name that List gives
	if err != nil {
		return false, err
	}
	defer os.Remove(t.Name())
	_, err = t.Write(data)
	err = errors.Join(err, t.Chmod(0o644), t.Sync(), t.Close())
	if err != nil {
		return false, err
	}
	if err := os.Link(t.Name(), path); errors.Is(err, fs.ErrExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// List reads the folder that prefix ends in.
func (f Folder) List(_ context.Context, prefix string) (names []string, err error) {
	err = filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(f.Dir, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		switch {
		case d.IsDir():
			if name != "." && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/") {
				return filepath.SkipDir
			}
		case strings.HasPrefix(name, prefix) && !strings.HasPrefix(d.Name(), "."):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sweep: list %s: %w", f.Dir, err)
	}
	slices.Sort(names)
	return names, nil
}

// hash names what has that content.
func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Keep puts data where its hash says, below a folder, and returns the name.
func Keep(ctx context.Context, s Store, folder string, data []byte) (name string, err error) {
	name = folder + "/" + hash(data)
	_, err = s.PutIfAbsent(ctx, name, data)
	return name, err
}

// Kept returns what Keep put, or an error where it is not that any more.
func Kept(ctx context.Context, s Store, name string) ([]byte, error) {
	b, err := s.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, "/"+hash(b)) {
		return nil, fmt.Errorf("sweep: object %s is damaged: its content has another hash", name)
	}
	return b, nil
}
