package call

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	calls := []Call{{"web", "node 1, left", .0125}, {"a/b%", "", 0}, {"store", "-", 3}}
	text := Format(calls)
	if want := "web node%201%2C%20left 0.012500, a%2Fb%25 - 0.000000, store - 3.000000"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
	got, err := Parse(text)
	calls[2].Node = "" // "-" is no name
	if err != nil || !slices.Equal(got, calls) {
		t.Errorf("read back as %+v, %v", got, err)
	}
	if got, err := Parse(""); got != nil || err != nil {
		t.Errorf("nothing is %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"web node1":               "call 1 is not 'microservice node seconds'",
		"web node1 0, x":          "call 2 is not",
		"web node1 soon":          `took "soon" s`,
		"web node1 -1":            `took "-1" s`,
		"web node1 NaN":           `took "NaN" s`,
		"%zz node1 1":             "call 1: invalid URL escape",
		strings.Repeat(", ", 1e3): "1001 calls; accepted: at most 1000",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%.30q: error %v, want one with %q", text, err, want)
		}
	}
}
