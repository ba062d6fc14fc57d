package headless

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/code"
	"github.com/meshbench/meshbench/lab/internal/module"
)

// keyFile holds the key of a notebook's last good run.
func keyFile(cfg Config, path string) string {
	return filepath.Join(cfg.Out, strings.TrimSuffix(filepath.Base(path), ".ipynb")+".key")
}

// before reports whether the notebook's last good run was of the same key, and
// the key: a hash of its source, the project's code that it imports, what runs
// it, the data, and what is outside.
func (n *notebook) before(cfg Config, path string) (done bool, key string, err error) {
	packages := n.imports()
	hash, err := code.Hash(packages, nil)
	if err != nil {
		return false, "", fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %v %s\n", hash, cfg.Small, cfg.Outside)
	patterns := append([]string{"go.mod", "go.sum", "notebooks/requirements.lock", "notebooks/kernel/*"}, cfg.Data...)
	files := []string{path}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(cfg.Root, filepath.FromSlash(p)))
		if err != nil {
			return false, "", err
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if err := add(h, file); err != nil {
			return false, "", err
		}
	}
	key = hex.EncodeToString(h.Sum(nil))
	for _, live := range cfg.Live {
		if slices.Contains(packages, live) {
			return false, key, nil
		}
	}
	executed := filepath.Join(cfg.Out, filepath.Base(path))
	for _, file := range []string{executed, strings.TrimSuffix(executed, ".ipynb") + ".html"} {
		if _, err := os.Stat(file); err != nil {
			return false, key, nil
		}
	}
	last, _ := os.ReadFile(keyFile(cfg, path)) // none is another key
	return strings.TrimSpace(string(last)) == key, key, nil
}

// add adds a file to a hash, by its name and content; folders are passed over.
func add(h io.Writer, file string) error {
	info, err := os.Stat(file)
	if err != nil || info.IsDir() {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(h, "%s %d\n", filepath.Base(file), info.Size())
	_, err = io.Copy(h, f)
	return err
}

var importPath = regexp.MustCompile(`"` + regexp.QuoteMeta(module.Path) + `/([^"]+)"`)

// imports are the folders of the project's packages that the cells import,
// ascending.
func (n *notebook) imports() []string {
	var list []string
	for _, c := range n.Cells {
		if c.Type != "code" {
			continue
		}
		for _, m := range importPath.FindAllStringSubmatch(string(c.Source), -1) {
			list = append(list, m[1])
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
