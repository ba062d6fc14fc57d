package change_test

import (
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
)

// A change that is read is written so that it reads back equal, and makes a
// condition of every step; any other is refused in one short line.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"slow:node=2,factor=3,at=60", "heavy:service=1,factor=1.5,at=5,within=10,for=20", "lost:node=2,for=3", "startup", "slow:", "lost:factor=0x1p-3"} {
		f.Add(text, uint64(1), 7)
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64, step int) {
		c, err := change.Parse(text, layout)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 1000 {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		again, err := change.Parse(c.Format(layout), layout)
		if err != nil || again.Format(layout) != c.Format(layout) {
			t.Fatalf("%q is written as %q, which is %+v (%v)", text, c.Format(layout), again, err)
		}
		if err := change.At(layout, []change.Change{c, c}, seed, step).Validate(layout); err != nil {
			t.Fatal(err)
		}
	})
}
