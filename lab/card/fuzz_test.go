package card_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/load"
)

// Whatever a card in a file says, it is refused in one line or shown.
func FuzzParse(f *testing.F) {
	good, err := card.Card{What: card.Model, Scenario: "shop", Services: []string{"a", "b"}, Loads: load.Ranges{{Min: 5, Max: 20}, {Max: 1}}}.Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"what":"policy","scenario":"a\nb","services":["a","b"],"loads":[]}`))
	f.Add([]byte(`{"what":"policy","limits":["|\n# x"],"scores":[{"name":"|"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := card.Parse(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1000 {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		if b := c.Markdown(); bytes.Count(b, []byte("\n# ")) > 0 {
			t.Errorf("a second heading:\n%s", b)
		}
		again, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := card.Parse(again); err != nil {
			t.Errorf("what was written is not read: %v", err)
		}
	})
}
