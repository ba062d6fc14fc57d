package site

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/doc/comment"
	"go/format"
	"go/parser"
	"go/token"
	"html"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/module"
)

// apiPage is the page of a package's folder.
func apiPage(dir string) string { return "api/" + strings.ReplaceAll(dir, "/", ".") + ".html" }

// api makes pages of the packages' documentation.
func (b *builder) api() (int, error) {
	var packages []*doc.Package
	fset := token.NewFileSet()
	err := filepath.WalkDir(filepath.Join(b.Root, "lab"), func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if n := d.Name(); n == "internal" || n == "testdata" || n == "cmd" || strings.HasPrefix(n, ".") {
			return fs.SkipDir
		}
		p, err := b.parse(fset, dir)
		if p != nil {
			packages = append(packages, p)
			b.packages = append(b.packages, strings.TrimPrefix(p.ImportPath, module.Path+"/"))
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	var list strings.Builder
	list.WriteString("<h1>Packages</h1><dl>")
	for k, p := range packages {
		if err := b.put(apiPage(b.packages[k]), p.Name, describe(fset, p)); err != nil {
			return 0, err
		}
		fmt.Fprintf(&list, `<dt><a href="%s">%s</a></dt><dd>%s</dd>`, apiPage(b.packages[k]), b.packages[k], html.EscapeString(p.Synopsis(p.Doc)))
	}
	list.WriteString("</dl>")
	return len(packages) + 1, b.put("packages.html", "Packages", list.String())
}

// parse reads a package with its examples; nil where the folder has none that can
// be imported.
func (b *builder) parse(fset *token.FileSet, dir string) (*doc.Package, error) {
	found, err := build.ImportDir(dir, 0)
	if err != nil || found.Name == "main" {
		return nil, nil // a folder without sources, or a program
	}
	var files []*ast.File
	for _, name := range append(append(found.GoFiles, found.TestGoFiles...), found.XTestGoFiles...) {
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	rel, err := filepath.Rel(b.Root, dir)
	if err != nil {
		return nil, err
	}
	return doc.NewFromFiles(fset, files, module.Path+"/"+filepath.ToSlash(rel))
}

// describe is the body of a package's page.
func describe(fset *token.FileSet, p *doc.Package) string {
	var b strings.Builder
	printer := p.Printer()
	printer.DocLinkURL = func(l *comment.DocLink) string {
		name := l.Name
		if l.Recv != "" {
			name = l.Recv + "." + name
		}
		if name != "" {
			name = "#" + name
		}
		switch dir, ours := strings.CutPrefix(l.ImportPath, module.Path+"/"); {
		case l.ImportPath == "":
			return name
		case ours:
			return "../" + apiPage(dir) + name
		}
		return "" // not in the site
	}
	reader := p.Parser()
	known := reader.LookupPackage
	reader.LookupPackage = func(name string) (string, bool) { // only the project's own are in the site
		importPath, ok := known(name)
		return importPath, ok && strings.HasPrefix(importPath, module.Path+"/")
	}
	text := func(s string) { b.Write(printer.HTML(reader.Parse(s))) }
	declared := func(node any) {
		var code bytes.Buffer
		if err := format.Node(&code, fset, node); err == nil {
			fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(code.String()))
		}
	}
	examples := func(list []*doc.Example) {
		for _, e := range list {
			b.WriteString("<details><summary>example</summary>")
			text(e.Doc)
			declared(e.Code)
			if e.Output != "" {
				fmt.Fprintf(&b, "<p>Output:</p><pre>%s</pre>", html.EscapeString(e.Output))
			}
			b.WriteString("</details>")
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			declared(v.Decl)
			text(v.Doc)
		}
	}
	functions := func(level string, list []*doc.Func) {
		for _, f := range list {
			id := f.Name
			if f.Orig != "" && f.Recv != "" {
				id = strings.TrimLeft(f.Recv, "*") + "." + f.Name
			}
			fmt.Fprintf(&b, "<%s id=\"%s\">%s</%[1]s>", level, html.EscapeString(id), html.EscapeString(f.Name))
			f.Decl.Body = nil
			declared(f.Decl)
			text(f.Doc)
			examples(f.Examples)
		}
	}
	fmt.Fprintf(&b, "<h1>package %s</h1><pre>import \"%s\"</pre>", p.Name, p.ImportPath)
	text(p.Doc)
	examples(p.Examples)
	values(p.Consts)
	values(p.Vars)
	functions("h2", p.Funcs)
	for _, t := range p.Types {
		fmt.Fprintf(&b, "<h2 id=\"%s\">type %[1]s</h2>", html.EscapeString(t.Name))
		declared(t.Decl)
		text(t.Doc)
		examples(t.Examples)
		values(t.Consts)
		values(t.Vars)
		functions("h3", t.Funcs)
		functions("h3", t.Methods)
	}
	return b.String()
}
