package words_test

import (
	"testing"

	"github.com/meshbench/meshbench/lab/internal/words"
)

func TestBounded(t *testing.T) {
	for _, c := range []struct {
		text string
		most int
		want string
	}{
		{" two\n\tlines ", 20, "two lines"},
		{"bad \xff byte", 20, "bad ? byte"},
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abcdef..."},
		{"abcä", 4, "abc..."}, // no half of a letter
		{"", 0, ""},
	} {
		if got := words.Bounded(c.text, c.most); got != c.want {
			t.Errorf("%q within %d is %q, want %q", c.text, c.most, got, c.want)
		}
	}
}
