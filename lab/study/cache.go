package study

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/code"
	"github.com/meshbench/meshbench/lab/internal/filelock"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Cache keeps the results of stages in files named by the hash of what they
// depend on: the stage's name, its inputs, and the source code that computes
// it. A result is therefore never stale; what no longer applies is only unused.
// A file begins with the hash of what follows.
type Cache struct {
	// Dir is the folder; "" keeps nothing.
	Dir string
	// Code is the hash of the code; see CodeHash.
	Code string
	// Warn, if set, is told once why results cannot be kept.
	Warn func(error)

	warned sync.Once
}

// uncached as an input of a stage says that its result depends on what has no
// key, and is not kept.
type uncached struct{}

// Do returns the result of a stage, from the cache when it is there. Inputs
// must hold all that the result depends on besides the code; they are hashed as
// JSON. A file that cannot be read or is not what was written is computed again;
// one that cannot be written is a warning. Of two that ask for the same result at
// a time, in whatever processes, one computes it and the other waits.
func Do[T any](c *Cache, stage string, inputs []any, compute func() (T, error)) (T, error) {
	var zero T
	if c == nil || c.Dir == "" || c.Code == "" || slices.Contains(inputs, any(uncached{})) {
		return compute()
	}
	text, err := json.Marshal(struct {
		Stage, Code string
		Inputs      any
	}{stage, c.Code, inputs})
	if err != nil {
		return zero, fmt.Errorf("study: hash the inputs of stage %s: %w", stage, err)
	}
	sum := sha256.Sum256(text)
	path := filepath.Join(c.Dir, stage+"-"+hex.EncodeToString(sum[:10])+".gob")
	if v, ok := kept[T](path); ok {
		return v, nil
	}
	defer lock(path)()
	if v, ok := kept[T](path); ok {
		return v, nil
	}
	v, err := compute()
	if err != nil {
		return zero, err
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(v); err != nil {
		return zero, fmt.Errorf("study: keep the result of stage %s: %w", stage, err)
	}
	hash := sha256.Sum256(buf.Bytes())
	if err := atomicfile.Write(path, append(hash[:], buf.Bytes()...)); err != nil {
		c.warned.Do(func() {
			if c.Warn != nil {
				c.Warn(fmt.Errorf("results are not kept: %w", err))
			}
		})
	}
	return v, nil
}

// kept reads a result from its file.
func kept[T any](path string) (v T, ok bool) {
	b, err := regular.ReadFile(path, regular.Any)
	if err != nil || len(b) <= sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b[:sha256.Size]) {
		return v, false
	}
	err = gob.NewDecoder(bytes.NewReader(b[sha256.Size:])).Decode(&v)
	return v, err == nil
}

// lock keeps others from computing the result of a file, and returns what lets
// them. Where there can be no lock, both compute it.
func lock(path string) (unlock func()) {
	dir := filepath.Join(filepath.Dir(path), "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return func() {}
	}
	f, err := os.OpenFile(filepath.Join(dir, filepath.Base(path)), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return func() {}
	}
	filelock.Wait(f)
	return func() { f.Close() }
}

// Root is the project's folder: the nearest one upwards of the working directory
// whose go.mod is the project's.
func Root() (string, error) { return code.Root() }

// shows are the packages that only draw and show.
var shows = []string{"lab/figure", "lab/nb"}

// CodeHash is the hash of the sources that the results of a study depend on: Code
// of this package.
var CodeHash = sync.OnceValues(func() (string, error) { return Code("lab/study") })

// Code is the hash of the sources of a package of the project and all of the
// project's that it imports, but for those that only draw and show. Where the
// sources are not there, because another module uses this one, it is the version
// of this module, "" where that is not known: then nothing is cached.
func Code(dir string) (string, error) { return code.Hash([]string{dir}, shows) }
