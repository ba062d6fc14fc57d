package importer

import (
	"strings"
	"testing"
)

// A mapping is read, or refused in one short line; so is a column of its options.
func FuzzMapping(f *testing.F) {
	for _, c := range foreign {
		f.Add(c.mapping)
	}
	f.Add(base)
	f.Add("columns: &a {l1: *a}")
	f.Add("l1=rate*0.001:2")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<14 {
			return
		}
		_, err := Parse("m", []byte(text))
		_, other := ParseColumn(text)
		for _, err := range []error{err, other} {
			if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 4000) {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
		}
	})
}
