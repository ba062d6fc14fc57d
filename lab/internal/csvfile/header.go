package csvfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Twice reports a name that a header has twice.
func Twice(header []string) error {
	seen := make(map[string]bool, len(header))
	for _, name := range header {
		if seen[name] {
			return fmt.Errorf("column %s is there twice", Quote(name))
		}
		seen[name] = true
	}
	return nil
}

// Check reports a column that is missing, unknown or there twice.
func Check(have, want []string) error {
	if err := Twice(have); err != nil {
		return err
	}
	var missing []string
	for _, name := range want {
		if !slices.Contains(have, name) {
			missing = append(missing, name)
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			// A misspelt column is best explained by the one that it stands for.
			return fmt.Errorf("unknown column %s%s; accepted: %s", Quote(name), Suggest(name, missing), List(want))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("column %s is missing; needed: %s", Quote(missing[0]), List(want))
	}
	return nil
}

// Bounds of what errors show of a file.
const (
	maxValue = 40  // runes
	maxList  = 600 // bytes
)

// Short cuts text to what an error may show.
func Short(s string) string { return Cut(s, maxValue) }

// Cut cuts text to n runes.
func Cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	end := 0
	for range n {
		_, size := utf8.DecodeRuneInString(s[end:])
		end += size
	}
	return s[:end] + "..."
}

// Quote is a value in an error: in quotes, on one line, and cut short.
func Quote(s string) string { return fmt.Sprintf("%q", Short(s)) }

// List is names in an error, cut short where they are many.
func List(names []string) string {
	var b strings.Builder
	for k, name := range names {
		if b.Len() > maxList {
			fmt.Fprintf(&b, " ... (%d in all)", len(names))
			break
		}
		if k > 0 {
			b.WriteString(", ")
		}
		name = Short(name)
		if strings.ContainsAny(name, ",\"\r\n\t ") || name == "" {
			name = fmt.Sprintf("%q", name)
		}
		b.WriteString(name)
	}
	return b.String()
}

// Suggest is " (did you mean "x"?)" for the name closest to a misspelt one, ""
// when none is close.
func Suggest(name string, names []string) string {
	const far = 3
	best, distance := "", far
	for _, n := range names {
		if len(name)-len(n) >= far || len(n)-len(name) >= far {
			continue
		}
		if d := edits(strings.ToLower(name), strings.ToLower(n)); d < distance && d < len(n) {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Field is s as one cell of a CSV file, quoted where it must be.
func Field(s string) string {
	if s == "" || !strings.ContainsAny(s, ",\"\r\n") && s[0] != '#' {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
