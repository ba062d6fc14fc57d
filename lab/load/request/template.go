package request

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	valueName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	placeholder = regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// template is a text with values: text[0] value[0] text[1] ... text[n].
type template struct {
	text  []string
	value []int // numbers of the names
}

// parseTemplate finds the values of a text and notes them as used. Braces around
// anything but a name are text.
func parseTemplate(text string, names []string, used map[int]bool) (template, error) {
	var t template
	from := 0
	for _, at := range placeholder.FindAllStringIndex(text, -1) {
		name := text[at[0]+1 : at[1]-1]
		k := slices.Index(names, name)
		if k < 0 {
			return t, fmt.Errorf("no value %q; there are values of: %s", name, strings.Join(names, ", "))
		}
		used[k] = true
		t.text = append(t.text, text[from:at[0]])
		t.value = append(t.value, k)
		from = at[1]
	}
	t.text = append(t.text, text[from:])
	return t, nil
}

// fixed reports whether the text has no value.
func (t template) fixed() bool { return len(t.value) == 0 }

// fill puts values in, each as escape makes it; nil leaves them as they are.
func (t template) fill(values []string, escape func(string) string) string {
	if t.fixed() {
		return t.text[0]
	}
	var b strings.Builder
	for k, v := range t.value {
		b.WriteString(t.text[k])
		if value := values[v]; escape != nil {
			b.WriteString(escape(value))
		} else {
			b.WriteString(value)
		}
	}
	b.WriteString(t.text[len(t.text)-1])
	return b.String()
}

// pattern matches the path that the template makes, whatever its values.
func (t template) pattern() *regexp.Regexp {
	parts := make([]string, len(t.text))
	for k, text := range t.text {
		parts[k] = regexp.QuoteMeta(text)
	}
	return regexp.MustCompile("^" + strings.Join(parts, "[^/]+") + "$")
}
