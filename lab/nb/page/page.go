// Package page makes web pages of Markdown and of notebooks. A page needs nothing
// but itself: no script, font or style of another host.
package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	goldhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1,h2,h3{line-height:1.2}a{color:#05568d}nav{font-size:90%;margin-bottom:1.5em}nav a{margin-right:1em}
pre{background:#f6f6f4;padding:.6em .8em;overflow-x:auto;font-size:85%;line-height:1.4}code{font-size:90%}pre code{font-size:100%}
table{border-collapse:collapse;font-size:90%;margin:1em 0}th,td{padding:.15em .7em .15em 0;text-align:left;vertical-align:top}th{border-bottom:1px solid #222}
svg,img{max-width:100%;height:auto}details{margin:.5em 0}summary{cursor:pointer;color:#555;font-size:85%}.output{overflow-x:auto;margin:.5em 0 1.5em}
.output pre{background:none;border-left:3px solid #ddd}dt{font-weight:600}blockquote{border-left:3px solid #ddd;margin-left:0;padding-left:1em}`

// Link is an entry of a page's navigation.
type Link struct{ Name, URL string }

// Page puts a body into a whole page.
func Page(title string, nav []Link, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>%s</title><style>%s</style></head><body>\n",
		html.EscapeString(title), style)
	if len(nav) > 0 {
		b.WriteString("<nav>")
		for _, l := range nav {
			fmt.Fprintf(&b, `<a href="%s">%s</a>`, html.EscapeString(l.URL), html.EscapeString(l.Name))
		}
		b.WriteString("</nav>\n")
	}
	b.WriteString(body)
	b.WriteString("\n</body></html>\n")
	return b.Bytes()
}

// Markdown is a text as HTML. resolve, which may be nil, says where the links go
// that the text has; "" takes one away and leaves its text.
func Markdown(source []byte, resolve func(url string) string) (string, error) {
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithRendererOptions(goldhtml.WithUnsafe()),
		goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(links(func(url string) string {
			if resolve == nil {
				return url
			}
			return resolve(url)
		}), 100))))
	var b bytes.Buffer
	if err := md.Convert(source, &b); err != nil {
		return "", fmt.Errorf("page: %w", err)
	}
	return b.String(), nil
}

// links gives links and pictures their places.
type links func(url string) string

func (resolve links) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	var gone []*ast.Link
	ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			if n.Destination = []byte(resolve(string(n.Destination))); len(n.Destination) == 0 {
				gone = append(gone, n)
			}
		case *ast.Image:
			n.Destination = []byte(resolve(string(n.Destination)))
		}
		return ast.WalkContinue, nil
	})
	for _, n := range gone {
		for c := n.FirstChild(); c != nil; c = n.FirstChild() {
			n.Parent().InsertBefore(n.Parent(), n, c)
		}
		n.Parent().RemoveChild(n.Parent(), n)
	}
}

// source is text that a notebook holds as one string or as a list of lines.
type source string

func (s *source) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*s = source(strings.Join(list, ""))
		return nil
	}
	return json.Unmarshal(b, (*string)(s))
}

// colours are the terminal's, in the text of errors.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Notebook is the body of an executed notebook's page, and its title: the first
// heading. Code is folded away where something was shown.
func Notebook(ipynb []byte) (title, body string, err error) {
	var n struct {
		Cells []struct {
			Type    string `json:"cell_type"`
			Source  source `json:"source"`
			Outputs []struct {
				Type      string                     `json:"output_type"`
				Text      source                     `json:"text"`
				Data      map[string]json.RawMessage `json:"data"`
				Traceback []string                   `json:"traceback"`
			} `json:"outputs"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(ipynb, &n); err != nil {
		return "", "", fmt.Errorf("page: not a notebook: %w", err)
	}
	var b strings.Builder
	for _, c := range n.Cells {
		if c.Type == "markdown" {
			if line, _, _ := strings.Cut(string(c.Source), "\n"); title == "" {
				title = strings.TrimLeft(line, "# ")
			}
			part, err := Markdown([]byte(c.Source), nil)
			if err != nil {
				return "", "", err
			}
			b.WriteString(part)
			continue
		}
		if c.Type != "code" {
			continue
		}
		fmt.Fprintf(&b, "<details><summary>code</summary><pre><code>%s</code></pre></details>\n<div class=\"output\">", html.EscapeString(string(c.Source)))
		for _, o := range c.Outputs {
			switch {
			case o.Type == "stream":
				fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(string(o.Text)))
			case o.Type == "error":
				fmt.Fprintf(&b, "<pre>%s</pre>", html.EscapeString(colours.ReplaceAllString(strings.Join(o.Traceback, "\n"), "")))
			default:
				part, err := shown(o.Data)
				if err != nil {
					return "", "", err
				}
				b.WriteString(part)
			}
		}
		b.WriteString("</div>\n")
	}
	return title, b.String(), nil
}

// shown is the richest form of what a cell showed.
func shown(data map[string]json.RawMessage) (string, error) {
	for _, kind := range []string{"text/html", "image/svg+xml", "text/markdown", "text/plain"} {
		raw, ok := data[kind]
		if !ok {
			continue
		}
		var s source
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("page: output of kind %s: %w", kind, err)
		}
		switch kind {
		case "text/markdown":
			return Markdown([]byte(s), nil)
		case "text/plain":
			return "<pre>" + html.EscapeString(string(s)) + "</pre>", nil
		}
		return string(s), nil
	}
	return "", nil
}
