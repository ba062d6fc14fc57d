package yamlfile_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/yamlfile"
)

type partFile struct {
	Name string  `yaml:"name"`
	Size float64 `yaml:"size"`
}

type whole struct {
	Parts  []partFile          `yaml:"parts"`
	Named  map[string]partFile `yaml:"named"`
	Common `yaml:",inline"`
}

type Common struct {
	Title string `yaml:"title"`
}

// All that cannot be read is said, a line each, with what is accepted.
func TestDecode(t *testing.T) {
	for text, want := range map[string][]string{
		"parts: [{name: a, size: 2}]\ntitle: b": nil,
		"":                                      {"the file is empty"},
		"parts: [{name: a}]\n---\nparts: []":    {"there is more than one document; accepted: one"},
		"parts:\n  - {nam: a, size: b}\nlength: 3": {`line 2: unknown key "nam" of a part; accepted: name, size`, "line 2: `b` is not a number", `line 3: unknown key "length" of a thing; accepted: parts, named, title`},
		"named: {a: {sise: 1}}":                    {`line 1: unknown key "sise" of a part; accepted: name, size`},
		"parts: [":                                 {"line 1: did not find expected node content"},
	} {
		var v whole
		got := yamlfile.Decode([]byte(text), &v, map[string]string{"whole": "thing"})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	var v whole
	for _, text := range []string{"0\n \n0", "parts: \"" + strings.Repeat("x", 10_000) + "\"", strings.Repeat("x", 10_000) + ": 1"} {
		for _, problem := range yamlfile.Decode([]byte(text), &v, nil) {
			if strings.ContainsAny(problem, "\r\n") || len(problem) > 1100 {
				t.Errorf("%.20q: %d bytes: %.200q", text, len(problem), problem)
			}
		}
	}
}
