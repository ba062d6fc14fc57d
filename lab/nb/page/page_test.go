package page

import (
	"strings"
	"testing"
)

func TestNotebook(t *testing.T) {
	title, body, err := Notebook([]byte(`{"cells": [
		{"cell_type": "markdown", "source": ["# One <two>\n", "\n", "| a | b |\n|---|---|\n| 1 | ` + "`2`" + ` |"]},
		{"cell_type": "code", "source": "%%\nif 1 < 2 {}", "outputs": [
			{"output_type": "stream", "name": "stdout", "text": ["a < b\n"]},
			{"output_type": "display_data", "data": {"text/plain": "plain", "text/html": ["<svg/>"]}},
			{"output_type": "display_data", "data": {"text/markdown": "**bold**"}},
			{"output_type": "error", "traceback": ["\u001b[31mno way\u001b[0m"]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if title != "One <two>" {
		t.Errorf("title %q", title)
	}
	for _, want := range []string{"<td>1</td>", "<code>2</code>", "if 1 &lt; 2 {}", "a &lt; b", "<svg/>", "<strong>bold</strong>", "<pre>no way</pre>"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not in %s", want, body)
		}
	}
	if strings.Contains(body, "plain") {
		t.Error("the plain form is shown beside the rich one")
	}
	if _, _, err := Notebook([]byte("x")); err == nil {
		t.Error("no error for what is no notebook")
	}
}

func TestMarkdown(t *testing.T) {
	got, err := Markdown([]byte("[a](x.md), [**b**](y.go), ![c](z.svg)"), func(url string) string {
		switch url {
		case "x.md":
			return "x.html"
		case "y.go":
			return ""
		}
		return url
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := `<p><a href="x.html">a</a>, <strong>b</strong>, <img src="z.svg" alt="c"></p>`; strings.TrimSpace(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A page asks nothing of another host.
func TestPage(t *testing.T) {
	got := string(Page("a & b", []Link{{"home", "index.html"}}, "<p>body</p>"))
	if !strings.Contains(got, "<title>a &amp; b</title>") || !strings.Contains(got, `<a href="index.html">home</a>`) || strings.Contains(got, "http") {
		t.Error(got)
	}
}
