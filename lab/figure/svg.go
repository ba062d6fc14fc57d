package figure

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/vg"
)

// svg returns the page as SVG. Letters are drawn as shapes, since a viewer
// without the font would set another one, wider or narrower; the text itself
// lies over them, unseen, to be searched and copied.
func (p *page) svg() []byte {
	var b bytes.Buffer
	w, h := short(p.width), short(p.height)
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%spt\" height=\"%spt\" viewBox=\"0 0 %s %s\">\n", w, h, w, h)
	var used []sfnt.GlyphIndex
	for _, o := range p.ops {
		for _, r := range o.text {
			used = append(used, sans().glyph(r).index)
		}
	}
	slices.Sort(used)
	if used = slices.Compact(used); len(used) > 0 {
		b.WriteString("<defs>\n")
		for _, k := range used {
			if d := outlineSVG(k); d != "" {
				fmt.Fprintf(&b, "<path id=\"sans%d\" d=\"%s\"/>\n", k, d)
			}
		}
		b.WriteString("</defs>\n")
	}
	for _, o := range p.ops {
		switch o.kind {
		case stroke:
			fmt.Fprintf(&b, "<path d=\"%s\" fill=\"none\"%s stroke-width=\"%s\"", p.d(o.path), paint("stroke", o.ink), short(o.width))
			if len(o.dashes) > 0 {
				b.WriteString(" stroke-dasharray=\"")
				for k, d := range o.dashes {
					if k > 0 {
						b.WriteByte(' ')
					}
					b.WriteString(short(d))
				}
				b.WriteByte('"')
			}
			b.WriteString("/>\n")
		case fill:
			fmt.Fprintf(&b, "<path d=\"%s\"%s/>\n", p.d(o.path), paint("fill", o.ink))
		case written:
			p.text(&b, o)
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (p *page) text(b *bytes.Buffer, o op) {
	x, y := short(o.at.X), short(p.height-o.at.Y)
	turn := ""
	if deg := math.Round(-o.angle * 180 / math.Pi * 100); deg != 0 {
		turn = fmt.Sprintf(" rotate(%s)", strconv.FormatFloat(deg/100, 'f', -1, 64))
	}
	em := strconv.FormatFloat(float64(o.size)/float64(sans().font.UnitsPerEm()), 'g', 5, 64)
	b.WriteString("<g>")
	if o.full != "" {
		b.WriteString("<title>")
		escape(b, o.full)
		b.WriteString("</title>")
	}
	fmt.Fprintf(b, "<g transform=\"translate(%s %s)%s scale(%s)\"%s>", x, y, turn, em, paint("fill", o.ink))
	at := 0.
	for _, r := range o.text {
		g := sans().glyph(r)
		if r != ' ' && g.index != 0 {
			fmt.Fprintf(b, "<use xlink:href=\"#sans%d\" x=\"%d\"/>", g.index, int(math.Round(at*float64(sans().font.UnitsPerEm()))))
		}
		at += g.advance
	}
	b.WriteString("</g>")
	fmt.Fprintf(b, "<text x=\"%s\" y=\"%s\" font-family=\"Liberation Sans, Arimo, Arial, Helvetica, sans-serif\" font-size=\"%s\" textLength=\"%s\" lengthAdjust=\"spacingAndGlyphs\" fill-opacity=\"0\"",
		x, y, short(o.size), short(textWidth(o.text, o.size)))
	if turn != "" {
		fmt.Fprintf(b, " transform=\"rotate(%s %s %s)\"", strconv.FormatFloat(math.Round(-o.angle*180/math.Pi*100)/100, 'f', -1, 64), x, y)
	}
	b.WriteByte('>')
	escape(b, o.text)
	b.WriteString("</text></g>\n")
}

func escape(b *bytes.Buffer, s string) {
	xml.EscapeText(b, []byte(s)) // a buffer's writes do not fail
}

func (p *page) d(path []segment) string {
	var b []byte
	put := func(q vg.Point) {
		b = append(b, short(q.X)...)
		b = append(b, ' ')
		b = append(b, short(p.height-q.Y)...)
	}
	for _, s := range path {
		b = append(b, s.kind)
		switch s.kind {
		case 'M', 'L':
			put(s.p[0])
		case 'C':
			put(s.p[0])
			b = append(b, ' ')
			put(s.p[1])
			b = append(b, ' ')
			put(s.p[2])
		}
	}
	return string(b)
}

func outlineSVG(k sfnt.GlyphIndex) string {
	var b bytes.Buffer
	for n, s := range sans().outline(k) {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if n > 0 {
				b.WriteByte('Z')
			}
			fmt.Fprintf(&b, "M%d %d", s.Args[0].X/64, s.Args[0].Y/64)
		case sfnt.SegmentOpLineTo:
			fmt.Fprintf(&b, "L%d %d", s.Args[0].X/64, s.Args[0].Y/64)
		case sfnt.SegmentOpQuadTo:
			fmt.Fprintf(&b, "Q%d %d %d %d", s.Args[0].X/64, s.Args[0].Y/64, s.Args[1].X/64, s.Args[1].Y/64)
		case sfnt.SegmentOpCubeTo:
			fmt.Fprintf(&b, "C%d %d %d %d %d %d", s.Args[0].X/64, s.Args[0].Y/64, s.Args[1].X/64, s.Args[1].Y/64, s.Args[2].X/64, s.Args[2].Y/64)
		}
	}
	if b.Len() > 0 {
		b.WriteByte('Z')
	}
	return b.String()
}

// short is a length in hundredths of a point: machines that round the last bit
// differently write the same.
func short(l vg.Length) string {
	v := math.Round(float64(l)*100) / 100
	if v == 0 {
		v = 0 // not -0
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func paint(what string, c color.NRGBA) string {
	s := fmt.Sprintf(" %s=\"#%02x%02x%02x\"", what, c.R, c.G, c.B)
	if c.A != 0xff {
		s += fmt.Sprintf(" %s-opacity=\"%.2f\"", what, float64(c.A)/0xff)
	}
	return s
}
