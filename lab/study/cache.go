package study

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/module"
)

// Cache keeps the results of stages in files named by the hash of what they
// depend on: the stage's name, its inputs, and the source code of lab. A
// result is therefore never stale; what no longer applies is only unused.
type Cache struct {
	// Dir is the folder; "" keeps nothing.
	Dir string
	// Code is the hash of the code; see CodeHash.
	Code string
}

// Do returns the result of a stage, from the cache when it is there. Inputs
// must hold all that the result depends on besides the code; it is hashed as
// JSON. A file that cannot be read is computed again.
func Do[T any](c *Cache, stage string, inputs any, compute func() (T, error)) (T, error) {
	var zero T
	if c == nil || c.Dir == "" {
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
	if b, err := os.ReadFile(path); err == nil {
		var v T
		if gob.NewDecoder(bytes.NewReader(b)).Decode(&v) == nil {
			return v, nil
		}
	}
	v, err := compute()
	if err != nil {
		return zero, err
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(v); err != nil {
		return zero, fmt.Errorf("study: keep the result of stage %s: %w", stage, err)
	}
	if err := atomicfile.Write(path, buf.Bytes()); err != nil {
		return zero, fmt.Errorf("study: keep the result of stage %s: %w", stage, err)
	}
	return v, nil
}

// Root is the project's folder: the nearest one upwards of the working
// directory whose go.mod is the project's.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(b, []byte("module "+module.Path+"\n")) {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("study: no folder of the project above %s", start)
		}
		dir = up
	}
}

// numeric are the packages whose code decides what a stage computes.
var numeric = []string{"mesh", "load", "trace", "forest", "objective", "sim", "policy", "ppo", "anr", "testbed", "study", "internal"}

// CodeHash is the hash of the Go and assembly sources that results depend on,
// tests left out.
var CodeHash = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	var files []string
	for _, name := range numeric {
		err := filepath.WalkDir(filepath.Join(root, "lab", name), func(path string, d fs.DirEntry, err error) error {
			ext := filepath.Ext(path)
			if err == nil && !d.IsDir() && (ext == ".go" || ext == ".s") && !strings.HasSuffix(path, "_test.go") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("study: hash the code: %w", err)
		}
	}
	sort.Strings(files)
	h := sha256.New()
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("study: hash the code: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", strings.TrimPrefix(path, root), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
})
