// Package site builds a static site of the project: its documents, the executed
// notebooks, figures and tables, and the packages' documentation. Pages ask
// nothing of another host.
package site

import (
	"errors"
	"fmt"
	"html"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/nb/page"
)

// Config says what the site is made of.
type Config struct {
	// Root is the project's folder.
	Root string
	// Notebooks is the folder of the executed ones. Default Root/.out/notebooks.
	Notebooks string
	// Figures are folders below Root whose figures and tables are shown; of a name
	// that two have, the first is. Default .out/figures and figures.
	Figures []string
	// Out is the site's folder. Default Root/.out/site.
	Out string
}

// documents are the Markdown files that become pages, and the pages' names.
var documents = map[string]string{
	"README.md":              "index.html",
	"CONTRIBUTING.md":        "contributing.html",
	"CHANGELOG.md":           "changelog.html",
	"environment.md":         "environment.html",
	"datasets/README.md":     "datasets.html",
	"cluster/README.md":      "cluster.html",
	"figures/README.md":      "results.html",
	"lab/README.md":          "lab.html",
	"lab/bench/README.md":    "speed.html",
	"lab/scenario/README.md": "scenarios.html",
}

// navigation is on every page; up is the way to the site's top.
func navigation(up string) []page.Link {
	var links []page.Link
	for _, l := range []page.Link{{Name: "Meshbench", URL: "index.html"}, {Name: "Notebooks", URL: "notebooks.html"}, {Name: "Figures", URL: "figures.html"},
		{Name: "Packages", URL: "packages.html"}, {Name: "Data", URL: "datasets.html"}, {Name: "Contributing", URL: "contributing.html"}} {
		links = append(links, page.Link{Name: l.Name, URL: up + l.URL})
	}
	return links
}

// builder builds one site.
type builder struct {
	Config
	packages []string // folders that have a page
}

// Build builds the site and returns how many pages it has.
func Build(cfg Config) (pages int, err error) {
	if cfg.Notebooks == "" {
		cfg.Notebooks = filepath.Join(cfg.Root, ".out", "notebooks")
	}
	if cfg.Figures == nil {
		cfg.Figures = []string{".out/figures", "figures"}
	}
	if cfg.Out == "" {
		cfg.Out = filepath.Join(cfg.Root, ".out", "site")
	}
	if err := os.RemoveAll(cfg.Out); err != nil {
		return 0, fmt.Errorf("site: %w", err)
	}
	b := &builder{Config: cfg}
	for _, part := range []func() (int, error){b.api, b.docs, b.notebooks, b.figures} {
		n, err := part()
		if err != nil {
			return pages, fmt.Errorf("site: %w", err)
		}
		pages += n
	}
	return pages, nil
}

// put writes a page at its place in the site.
func (b *builder) put(name, title, body string) error {
	up := strings.Repeat("../", strings.Count(name, "/"))
	return atomicfile.Write(filepath.Join(b.Out, filepath.FromSlash(name)), page.Page(title, navigation(up), body))
}

// docs makes pages of the documents.
func (b *builder) docs() (int, error) {
	n := 0
	for name, to := range documents {
		text, err := os.ReadFile(filepath.Join(b.Root, filepath.FromSlash(name)))
		if err != nil {
			return n, err
		}
		body, err := page.Markdown(text, func(url string) string { return b.resolve(path.Dir(name), url) })
		if err != nil {
			return n, err
		}
		title, _, _ := strings.Cut(string(text), "\n")
		if err := b.put(to, strings.TrimLeft(title, "# "), body); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// resolve is where a link of a document in folder dir goes in the site; "" for
// what is not in it.
func (b *builder) resolve(dir, url string) string {
	if strings.Contains(url, ":") || strings.HasPrefix(url, "#") {
		return url
	}
	file, anchor, _ := strings.Cut(url, "#")
	if anchor != "" {
		anchor = "#" + anchor
	}
	file = path.Join(dir, file)
	if to, ok := documents[file]; ok {
		return to + anchor
	}
	if to, ok := documents[path.Join(file, "README.md")]; ok {
		return to + anchor
	}
	if slices.Contains(b.packages, file) {
		return apiPage(file)
	}
	switch {
	case path.Dir(file) == "notebooks" && path.Ext(file) == ".ipynb":
		return strings.TrimSuffix(file, ".ipynb") + ".html"
	case file == "notebooks" || file == "figures":
		return file + ".html"
	case strings.HasPrefix(file, "figures/") && path.Ext(file) == ".md":
		return "figures.html#" + strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(file, "figures/"), ".md"), "/", "-")
	case strings.HasPrefix(file, "figures/"):
		return file
	}
	return ""
}

// notebooks makes pages of the executed notebooks.
func (b *builder) notebooks() (int, error) {
	books, err := filepath.Glob(filepath.Join(b.Notebooks, "*.ipynb"))
	if err != nil {
		return 0, err
	}
	var list strings.Builder
	list.WriteString("<h1>Notebooks</h1><p>As they were run last, with what they showed.</p><ul>")
	if len(books) == 0 {
		list.WriteString("<li>None was run yet: <code>make notebooks</code>.</li>")
	}
	for _, file := range books {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		title, body, err := page.Notebook(text)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		name := "notebooks/" + strings.TrimSuffix(filepath.Base(file), ".ipynb") + ".html"
		if err := b.put(name, title, body); err != nil {
			return 0, err
		}
		fmt.Fprintf(&list, `<li><a href="%s">%s</a></li>`, name, html.EscapeString(title))
	}
	list.WriteString("</ul>")
	return len(books) + 1, b.put("notebooks.html", "Notebooks", list.String())
}

// figures makes a page of all figures and tables, and copies their files.
func (b *builder) figures() (int, error) {
	var body strings.Builder
	body.WriteString("<h1>Figures and tables</h1>")
	seen := map[string]bool{}
	for _, folder := range b.Figures {
		top := filepath.Join(b.Root, filepath.FromSlash(folder))
		err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && file == top {
				return fs.SkipAll
			}
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") || d.Name() == "README.md" {
				return err
			}
			rel, err := filepath.Rel(top, file)
			if err != nil {
				return err
			}
			if rel = filepath.ToSlash(rel); seen[rel] {
				return nil
			}
			seen[rel] = true
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := atomicfile.Write(filepath.Join(b.Out, "figures", filepath.FromSlash(rel)), content); err != nil {
				return err
			}
			name := strings.TrimSuffix(rel, path.Ext(rel))
			heading := fmt.Sprintf("<h2 id=\"%s\">%s</h2>", html.EscapeString(strings.ReplaceAll(name, "/", "-")), html.EscapeString(name))
			switch path.Ext(rel) {
			case ".svg":
				fmt.Fprintf(&body, `%s<p><img src="figures/%s" alt="%s"></p><p><a href="figures/%s.pdf">PDF</a></p>`, heading, rel, name, name)
			case ".md":
				table, err := page.Markdown(content, nil)
				if err != nil {
					return err
				}
				fmt.Fprintf(&body, "%s<div class=\"output\">%s</div>", heading, table)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return 1, b.put("figures.html", "Figures and tables", body.String())
}
