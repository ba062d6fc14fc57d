// Package code finds the project's sources and hashes them, so that results are
// known by the code that made them.
package code

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/meshbench/meshbench/lab/internal/module"
)

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
			return "", fmt.Errorf("no folder of the project above %s", start)
		}
		dir = up
	}
}

// Hash is the hash of the sources of packages of the project, named by their
// folders below Root, and all of the project's that they import, but for those of
// without. Where the sources are not there, because another module uses this one,
// it is the version of this module, "" where that is not known.
func Hash(dirs, without []string) (string, error) {
	root, err := Root()
	if err != nil {
		return moduleVersion(), nil
	}
	packages, err := imported(root, dirs, without)
	if err != nil {
		return "", fmt.Errorf("hash the code: %w", err)
	}
	h := sha256.New()
	for _, dir := range packages {
		files, err := sources(root, dir)
		if err != nil {
			return "", fmt.Errorf("hash the code: %w", err)
		}
		for _, path := range files {
			b, err := os.ReadFile(filepath.Join(root, path))
			if err != nil {
				return "", fmt.Errorf("hash the code: %w", err)
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

// imported lists packages' folders and those of the project's packages that they
// import, directly or not, ascending; those of without are left out.
func imported(root string, dirs, without []string) ([]string, error) {
	seen := map[string]bool{}
	var visit func(dir string) error
	visit = func(dir string) error {
		if seen[dir] || slices.Contains(without, dir) {
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
	for _, dir := range dirs {
		if err := visit(dir); err != nil {
			return nil, err
		}
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
