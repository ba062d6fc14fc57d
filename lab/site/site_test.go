package site

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The site has a page of every document, notebook and package; no page asks
// another host for anything, and what pages link to is there.
func TestBuild(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	books, out := t.TempDir(), t.TempDir()
	text := `{"cells": [{"cell_type": "markdown", "source": "# 00 A notebook"}, {"cell_type": "code", "source": "%%", "outputs": [{"output_type": "stream", "text": "shown\n"}]}]}`
	if err := os.WriteFile(filepath.Join(books, "00_a.ipynb"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	pages, err := Build(Config{Root: root, Notebooks: books, Figures: []string{"figures"}, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = filepath.WalkDir(out, func(file string, d os.DirEntry, err error) error {
		if filepath.Ext(file) == ".html" {
			found = append(found, file)
		}
		return err
	})
	if err != nil || len(found) != pages {
		t.Errorf("%d pages in the folder, %d reported; %v", len(found), pages, err)
	}
	asset := regexp.MustCompile(`(?:<script[^>]*src|<link[^>]*href|<img[^>]*src)="(?:https?:)?//`)
	link := regexp.MustCompile(`(?:href|src)="([^"#:]+)(?:#[^"]*)?"`)
	for _, file := range found {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if a := asset.Find(b); a != nil {
			t.Errorf("%s asks another host: %s", file, a)
		}
		for _, m := range link.FindAllSubmatch(b, -1) {
			if strings.HasSuffix(file, "index.html") && strings.HasPrefix(string(m[1]), "notebooks/") {
				continue // a link of README to a notebook that was not run here
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), filepath.FromSlash(string(m[1])))); err != nil {
				t.Errorf("%s: link to %s, which is not there", file, m[1])
			}
		}
	}
	for file, want := range map[string]string{"notebooks/00_a.html": "shown", "api/lab.mesh.html": "type Mesh struct", "figures.html": "figures/fig1.svg", "index.html": "<h1"} {
		b, err := os.ReadFile(filepath.Join(out, file))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s has no %q: %v", file, want, err)
		}
	}
}
