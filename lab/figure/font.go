package figure

import (
	"bytes"
	"sort"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// Shares of the size that letters reach above and below the base line.
const ascent, descent = .75, .22

// missing stands for a character that the font lacks.
const missing = '□'

// sans is the font of all figures, Liberation Sans, which comes with the
// program: what a figure looks like depends on no font of the machine.
var sans = sync.OnceValue(func() *typeface {
	f := font.DefaultCache.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans"}, textSize)
	t := &typeface{font: f.Face, face: f, glyphs: map[rune]glyph{}}
	var b bytes.Buffer
	if _, err := f.Face.WriteSourceTo(nil, &b); err != nil {
		panic("figure: the font cannot be read: " + err.Error()) // it is part of the program
	}
	t.source = b.Bytes()
	for r := range t.common {
		t.common[r] = t.glyph(rune(r))
	}
	t.ready = true
	return t
})

type typeface struct {
	font   *sfnt.Font
	face   font.Face
	source []byte // TrueType

	mu     sync.Mutex
	buffer sfnt.Buffer
	glyphs map[rune]glyph
	common [0x180]glyph // of Latin letters, found without a lock
	ready  bool
}

type glyph struct {
	index   sfnt.GlyphIndex // 0 for a character that the font lacks
	advance float64         // in sizes
}

func (t *typeface) glyph(r rune) glyph {
	if t.ready && r >= 0 && int(r) < len(t.common) {
		return t.common[r]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.glyphs[r]
	if ok {
		return g
	}
	units := fixed.Int26_6(t.font.UnitsPerEm())
	if k, err := t.font.GlyphIndex(&t.buffer, r); err == nil {
		if a, err := t.font.GlyphAdvance(&t.buffer, k, units<<6, 0); err == nil {
			g = glyph{k, float64(a) / 64 / float64(units)}
		}
	}
	t.glyphs[r] = g
	return g
}

// outline is the shape of a glyph in units of the font, y downwards.
func (t *typeface) outline(k sfnt.GlyphIndex) sfnt.Segments {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.font.LoadGlyph(&t.buffer, k, fixed.Int26_6(t.font.UnitsPerEm())<<6, nil)
	if err != nil {
		return nil
	}
	return append(sfnt.Segments(nil), s...) // the buffer is used again
}

func textWidth(s string, size vg.Length) vg.Length {
	w := 0.
	for _, r := range s {
		w += sans().glyph(r).advance
	}
	return vg.Length(w) * size
}

// printable is s on one line, in characters that the font has.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return -1
		case sans().glyph(r).index == 0:
			return missing
		}
		return r
	}, s)
}

// shorten cuts s to a width. It cuts before the end, since names often differ
// there, and marks the place by an ellipsis.
func shorten(s string, size, width vg.Length) string {
	if textWidth(s, size) <= width {
		return s
	}
	all := []rune(s)
	upTo := make([]float64, len(all)+1) // widths of beginnings
	for k, r := range all {
		upTo[k+1] = upTo[k] + sans().glyph(r).advance
	}
	room := float64(width/size) - sans().glyph('…').advance
	fits := func(keep int) bool {
		tail := keep / 3
		return upTo[keep-tail]+upTo[len(all)]-upTo[len(all)-tail] <= room
	}
	keep := sort.Search(len(all), func(k int) bool { return !fits(k) }) - 1
	keep = max(keep, 0)
	tail := keep / 3
	return strings.TrimRight(string(all[:keep-tail]), " ") + "…" + strings.TrimLeft(string(all[len(all)-tail:]), " ")
}

// wrap breaks s at its line breaks and at spaces into lines of a width, as many
// as given at most. Words that are too long, and what the last line cannot
// hold, are shortened.
func wrap(s string, size, width vg.Length, most int) []string {
	var lines []string
	for _, paragraph := range strings.Split(s, "\n") {
		now := ""
		for _, word := range strings.Fields(printable(paragraph)) {
			next := word
			if now != "" {
				next = now + " " + word
			}
			if now != "" && textWidth(next, size) > width {
				lines = append(lines, now)
				next = word
			}
			now = next
		}
		lines = append(lines, now)
	}
	if len(lines) > most {
		lines = append(lines[:most-1:most-1], strings.Join(lines[most-1:], " "))
	}
	for k, l := range lines {
		lines[k] = shorten(l, size, width)
	}
	return lines
}
