package headless

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// book writes a notebook of code cells and returns its path.
func book(t *testing.T, name string, sources ...string) string {
	t.Helper()
	var cells []map[string]any
	for _, s := range sources {
		cells = append(cells, map[string]any{"cell_type": "code", "metadata": map[string]any{}, "source": s, "outputs": []any{}, "execution_count": nil})
	}
	b, err := json.Marshal(map[string]any{"cells": cells, "nbformat": 4, "nbformat_minor": 4, "metadata": map[string]any{
		"kernelspec": map[string]any{"name": "meshbench", "display_name": "Go (Meshbench)", "language": "go"}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, ".venv", "installed")); err != nil {
		t.Skip("Jupyter is not installed; make setup installs it")
	}
	for _, tt := range []struct {
		name, source, want string
	}{
		{"good", "import (\n\t\"fmt\"\n\t\"github.com/meshbench/meshbench/lab/mesh\"\n\t\"github.com/meshbench/meshbench/lab/nb\"\n)\n%%\nif !nb.Small() { panic(\"size\") }\nfmt.Println(mesh.Mesh{})", ""},
		{"compile", "%%\nundefined()", "undefined: undefined"},
		{"panic", "%%\npanic(\"no way\")", "no way"},
		{"shell", "!false", "cell 2 failed: shell command: exit status 1"},
		{"bash", "%%bash\nls /nonexistent", "cell 2 failed: shell command: exit status 2"},
		{"magic", "%frobnicate", "cell 2 failed: unknown magic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log strings.Builder
			err := Run(context.Background(), Config{Root: root, Notebooks: []string{book(t, tt.name+".ipynb", "!echo exit status is fine", tt.source)},
				Small: true, Out: t.TempDir(), Log: &log})
			switch {
			case tt.want == "" && err != nil:
				t.Fatal(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(log.String(), "FAILED")):
				t.Fatalf("error %v, want %q; log %q", err, tt.want, log.String())
			}
		})
	}
}

func TestOutputsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ipynb")
	if err := os.WriteFile(path, []byte(`{"cells": [{"cell_type": "code", "source": ["1"], "execution_count": 3, "outputs": []}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Run(context.Background(), Config{Notebooks: []string{path}, Out: t.TempDir(), Log: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "cell 1 holds outputs") {
		t.Errorf("Run: %v", err)
	}
}

// A notebook is unchanged while its source, the code it imports, the data and what
// is outside are those of its last good run, whose results are there.
func TestBefore(t *testing.T) {
	root := t.TempDir()
	data := filepath.Join(root, "data.csv")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(data, "1")
	path := book(t, "x.ipynb", "import \"github.com/meshbench/meshbench/lab/mesh\"")
	cfg := Config{Root: root, Out: t.TempDir(), Data: []string{"*.csv"}}
	before := func(cfg Config) (bool, string) {
		t.Helper()
		n, err := read(path)
		if err != nil {
			t.Fatal(err)
		}
		done, key, err := n.before(cfg, path)
		if err != nil {
			t.Fatal(err)
		}
		return done, key
	}
	done, key := before(cfg)
	if done {
		t.Error("unchanged before it was ever run")
	}
	write(keyFile(cfg, path), key+"\n")
	if done, _ := before(cfg); done {
		t.Error("unchanged without results")
	}
	write(filepath.Join(cfg.Out, "x.ipynb"), "{}")
	write(filepath.Join(cfg.Out, "x.html"), "")
	if done, _ := before(cfg); !done {
		t.Error("run again, though nothing has changed")
	}
	for name, change := range map[string]func(c *Config){
		"size":    func(c *Config) { c.Small = true },
		"outside": func(c *Config) { c.Outside = "a published trace" },
		"live":    func(c *Config) { c.Live = []string{"lab/mesh"} },
	} {
		other := cfg
		change(&other)
		if done, _ := before(other); done {
			t.Errorf("unchanged with another %s", name)
		}
	}
	write(data, "2")
	if done, _ := before(cfg); done {
		t.Error("unchanged with other data")
	}
	write(data, "1")
	path = book(t, "x.ipynb", "import \"github.com/meshbench/meshbench/lab/load\"")
	if done, _ := before(cfg); done {
		t.Error("unchanged with another source")
	}
}
