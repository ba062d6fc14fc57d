// Package yamlfile reads YAML whose keys are known: all that cannot be read is
// listed, a line each, with what is accepted.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
)

// most bounds a problem's text, in runes.
const most = 1000

var unknownKey = regexp.MustCompile(`^(line \d+): field (.+) not found in type (\S+)$`)

// Decode reads one YAML document into v, a pointer to a struct, and lists what
// cannot be. words say what types are called that are not called by their names:
// "file" of type file of any package is a "scenario", for instance.
func Decode(text []byte, v any, words map[string]string) (problems []string) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	err := in.Decode(v)
	var typed *yaml.TypeError
	switch {
	case errors.As(err, &typed):
		keys := map[string][]string{}
		collect(keys, reflect.TypeOf(v))
		for _, line := range typed.Errors {
			problems = append(problems, explain(line, keys, words))
		}
	case errors.Is(err, io.EOF):
		problems = append(problems, "the file is empty")
	case err != nil:
		problems = append(problems, oneLine(strings.TrimPrefix(err.Error(), "yaml: ")))
	case in.Decode(new(yaml.Node)) != io.EOF:
		problems = append(problems, "there is more than one document; accepted: one")
	}
	return problems
}

func oneLine(text string) string { return csvfile.Cut(strings.Join(strings.Fields(text), " "), most) }

// explain says an error of the decoder in the words of the file's author.
func explain(text string, keys map[string][]string, words map[string]string) string {
	text = oneLine(text)
	if m := unknownKey.FindStringSubmatch(text); m != nil {
		what := m[3][strings.LastIndexByte(m[3], '.')+1:]
		if word := words[what]; word != "" {
			what = word
		}
		return csvfile.Cut(fmt.Sprintf("%s: unknown key %q of a %s; accepted: %s", m[1], m[2], strings.ToLower(strings.TrimSuffix(what, "File")), strings.Join(keys[m[3]], ", ")), most)
	}
	for _, r := range [][2]string{{"cannot unmarshal ", ""}, {"!!str ", ""}, {"!!map ", "a list of keys "}, {"!!seq ", "a list "}, {"into float64", "is not a number"},
		{"into int", "is not a whole number"}, {"into string", "is not a word"}, {"into bool", "is neither true nor false"}, {"into []float64", "is not a list of numbers"},
		{"into [][]float64", "is not a list of lists of numbers"}, {"into []string", "is not a list of words"}} {
		text = strings.Replace(text, r[0], r[1], 1)
	}
	return text
}

// collect notes the keys of a type, and of all that it is made of.
func collect(keys map[string][]string, t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		collect(keys, t.Elem())
	case reflect.Struct:
		name := t.String()
		if _, seen := keys[name]; seen {
			return
		}
		keys[name] = nil
		for k := range t.NumField() {
			f := t.Field(k)
			tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if !f.IsExported() || tag == "-" {
				continue
			}
			collect(keys, f.Type)
			if strings.Contains(options, "inline") {
				keys[name] = append(keys[name], keys[f.Type.String()]...)
				continue
			}
			if tag == "" {
				tag = strings.ToLower(f.Name)
			}
			keys[name] = append(keys[name], tag)
		}
	}
}
