package study

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/module"
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
// one that cannot be written is a warning.
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
	if b, err := os.ReadFile(path); err == nil && len(b) > sha256.Size {
		var v T
		if sha256.Sum256(b[sha256.Size:]) == [sha256.Size]byte(b[:sha256.Size]) && gob.NewDecoder(bytes.NewReader(b[sha256.Size:])).Decode(&v) == nil {
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

// CodeHash is the hash of the sources that the results of a study depend on: Code
// of this package.
var CodeHash = sync.OnceValues(func() (string, error) { return Code("lab/study") })

// Code is the hash of the sources of a package of the project and all of the
// project's that it imports, but for those that only draw and show. Where the
// sources are not there, because another module uses this one, it is the version
// of this module, "" where that is not known: then nothing is cached.
func Code(dir string) (string, error) {
	root, err := Root()
	if err != nil {
		return moduleVersion(), nil
	}
	packages, err := imported(root, dir)
	if err != nil {
		return "", fmt.Errorf("study: hash the code: %w", err)
	}
	h := sha256.New()
	for _, dir := range packages {
		files, err := sources(root, dir)
		if err != nil {
			return "", fmt.Errorf("study: hash the code: %w", err)
		}
		for _, path := range files {
			b, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				return "", fmt.Errorf("study: hash the code: %w", err)
			}
			fmt.Fprintf(h, "%s %d\n", filepath.ToSlash(path), len(b))
			h.Write(b)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module.Path && m.Replace == nil {
				return m.Sum
			}
		}
	}
	return ""
}

// shows are the packages that only draw and show.
var shows = []string{"lab/figure", "lab/nb"}

// imported lists a package's folder and those of the project's packages that it
// imports, directly or not, ascending.
func imported(root, first string) ([]string, error) {
	seen := map[string]bool{}
	var visit func(dir string) error
	visit = func(dir string) error {
		if seen[dir] || slices.Contains(shows, dir) {
			return nil
		}
		seen[dir] = true
		files, err := sources(root, dir)
		if err != nil {
			return err
		}
		for _, path := range files {
			if filepath.Ext(path) != ".go" {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				if below, ok := strings.CutPrefix(name, module.Path+"/"); ok {
					if err := visit(below); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	if err := visit(first); err != nil {
		return nil, err
	}
	var list []string
	for dir := range seen {
		list = append(list, dir)
	}
	sort.Strings(list)
	return list, nil
}

// sources lists the files of a package, and what it embeds from folders below,
// tests and their data left out.
func sources(root, dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == filepath.FromSlash(dir) {
				return nil
			}
			if goFiles, _ := filepath.Glob(filepath.Join(path, "*.go")); len(goFiles) > 0 || d.Name() == "internal" || d.Name() == "testdata" {
				return fs.SkipDir // another package
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			files = append(files, rel)
		}
		return nil
	})
	return files, err
}
