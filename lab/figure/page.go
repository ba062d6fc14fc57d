package figure

import (
	"image"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// page records what is drawn, in points from the lower left corner. SVG, PDF
// and PNG are written from it, so that they show the same.
type page struct {
	width, height vg.Length
	ops           []op
	states        []state
	data          func() Table // the figure's data; nil for a figure without
}

var _ vg.CanvasSizer = (*page)(nil)

type state struct {
	at     affine
	ink    color.NRGBA
	width  vg.Length
	dashes []vg.Length
}

type kind int

const (
	stroke kind = iota
	fill
	written
)

// op is one thing on a page.
type op struct {
	kind   kind
	ink    color.NRGBA
	path   []segment   // of a stroke or fill
	width  vg.Length   // of a stroke
	dashes []vg.Length // of a stroke

	text, full string // full where text is a shortened or replaced form of it
	at         vg.Point
	size       vg.Length
	angle      float64
}

// segment is a piece of a path: 'M' and 'L' to p[0], 'C' over p[0] and p[1] to
// p[2], 'Z' back to the start.
type segment struct {
	kind byte
	p    [3]vg.Point
}

// affine maps (x, y) to (ax + cy + e, bx + dy + f).
type affine struct{ a, b, c, d, e, f float64 }

func (m affine) point(p vg.Point) vg.Point {
	x, y := float64(p.X), float64(p.Y)
	return vg.Point{X: vg.Length(m.a*x + m.c*y + m.e), Y: vg.Length(m.b*x + m.d*y + m.f)}
}

func (m affine) then(n affine) affine {
	return affine{m.a*n.a + m.c*n.b, m.b*n.a + m.d*n.b, m.a*n.c + m.c*n.d, m.b*n.c + m.d*n.d, m.a*n.e + m.c*n.f + m.e, m.b*n.e + m.d*n.f + m.f}
}

func newPage(width, height vg.Length) *page {
	p := &page{width: width, height: height, states: []state{{at: affine{a: 1, d: 1}}}}
	vg.Initialize(p)
	return p
}

func (p *page) now() *state { return &p.states[len(p.states)-1] }

// Size is the size of the page.
func (p *page) Size() (x, y vg.Length) { return p.width, p.height }

// SetLineWidth, and what follows, makes a page a vg.Canvas.
func (p *page) SetLineWidth(w vg.Length) { p.now().width = w }

func (p *page) SetLineDash(pattern []vg.Length, _ vg.Length) {
	p.now().dashes = append([]vg.Length(nil), pattern...)
}

func (p *page) SetColor(c color.Color) {
	if c == nil {
		c = color.Black
	}
	p.now().ink = color.NRGBAModel.Convert(c).(color.NRGBA)
}

func (p *page) Rotate(rad float64) {
	s, c := math.Sincos(rad)
	p.now().at = p.now().at.then(affine{a: c, b: s, c: -s, d: c})
}

func (p *page) Translate(pt vg.Point) {
	p.now().at = p.now().at.then(affine{a: 1, d: 1, e: float64(pt.X), f: float64(pt.Y)})
}

func (p *page) Scale(x, y float64) { p.now().at = p.now().at.then(affine{a: x, d: y}) }

func (p *page) Push() { p.states = append(p.states, *p.now()) }

func (p *page) Pop() { p.states = p.states[:len(p.states)-1] }

func (p *page) Stroke(path vg.Path) {
	s := p.now()
	if s.width > 0 {
		p.add(op{kind: stroke, ink: s.ink, path: s.at.path(path), width: s.width, dashes: s.dashes})
	}
}

func (p *page) Fill(path vg.Path) {
	p.add(op{kind: fill, ink: p.now().ink, path: p.now().at.path(path)})
}

func (p *page) FillString(f font.Face, at vg.Point, text string) {
	m := p.now().at
	p.string(f.Font.Size, m.point(at), math.Atan2(m.b, m.a), text, text)
}

// DrawImage draws nothing: no figure has an image.
func (p *page) DrawImage(vg.Rectangle, image.Image) {}

// add drops what has no place, so that no writer meets it.
func (p *page) add(o op) {
	if len(o.path) == 0 {
		return
	}
	for _, s := range o.path {
		for _, q := range s.p {
			if !finite(float64(q.X)) || !finite(float64(q.Y)) {
				return
			}
		}
	}
	p.ops = append(p.ops, o)
}

// path is a path on the page, its arcs as Bézier curves.
func (m affine) path(of vg.Path) (out []segment) {
	for _, c := range of {
		switch c.Type {
		case vg.MoveComp:
			out = append(out, segment{'M', [3]vg.Point{m.point(c.Pos)}})
		case vg.LineComp:
			out = append(out, segment{'L', [3]vg.Point{m.point(c.Pos)}})
		case vg.CurveComp:
			first, second := c.Control[0], c.Control[len(c.Control)-1]
			out = append(out, segment{'C', [3]vg.Point{m.point(first), m.point(second), m.point(c.Pos)}})
		case vg.ArcComp:
			out = append(out, m.arc(c, len(out) == 0)...)
		case vg.CloseComp:
			out = append(out, segment{kind: 'Z'})
		}
	}
	return out
}

func (m affine) arc(c vg.PathComp, first bool) (out []segment) {
	on := func(angle, radius float64) vg.Point {
		s, k := math.Sincos(angle)
		return vg.Point{X: c.Pos.X + vg.Length(radius*k), Y: c.Pos.Y + vg.Length(radius*s)}
	}
	r := float64(c.Radius)
	start := segment{'L', [3]vg.Point{m.point(on(c.Start, r))}}
	if first {
		start.kind = 'M'
	}
	out = append(out, start)
	n := int(math.Ceil(math.Abs(c.Angle)/(math.Pi/2) - 1e-9))
	each := c.Angle / float64(max(n, 1))
	reach := math.Hypot(1, 4./3*math.Tan(each/4)) // of a control point, in radii
	turn := math.Atan(4. / 3 * math.Tan(each/4))
	for k := range n {
		a := c.Start + float64(k)*each
		out = append(out, segment{'C', [3]vg.Point{m.point(on(a+turn, r*reach)), m.point(on(a+each-turn, r*reach)), m.point(on(a+each, r))}})
	}
	return out
}

// string writes text at its left end on the base line. A text that would leave
// the page is moved back onto it, and shortened where the page is too small.
// full is what a shortened text stands for.
func (p *page) string(size vg.Length, at vg.Point, angle float64, text, full string) {
	if size <= 0 || strings.TrimSpace(text) == "" || !finite(float64(at.X)) || !finite(float64(at.Y)) {
		return
	}
	room := p.width
	if math.Abs(math.Sin(angle)) > .5 {
		room = p.height
	}
	o := op{kind: written, ink: p.now().ink, at: at, size: size, angle: angle, text: shorten(printable(text), size, room-2)}
	if o.text != full {
		o.full = full
	}
	b := o.box()
	o.at.X += max(0, 1-b.Min.X) - max(0, b.Max.X-p.width+1)
	o.at.Y += max(0, 1-b.Min.Y) - max(0, b.Max.Y-p.height+1)
	p.ops = append(p.ops, o)
}

// box is what a text covers.
func (o op) box() vg.Rectangle {
	s, c := math.Sincos(o.angle)
	r := vg.Rectangle{Min: vg.Point{X: vg.Inch * 1e6, Y: vg.Inch * 1e6}, Max: vg.Point{X: -vg.Inch * 1e6, Y: -vg.Inch * 1e6}}
	w := float64(textWidth(o.text, o.size))
	for _, corner := range [][2]float64{{0, -descent}, {w, -descent}, {w, ascent}, {0, ascent}} {
		x, y := corner[0], corner[1]
		if y != 0 {
			y *= float64(o.size)
		}
		q := vg.Point{X: o.at.X + vg.Length(x*c-y*s), Y: o.at.Y + vg.Length(x*s+y*c)}
		r.Min.X, r.Min.Y = min(r.Min.X, q.X), min(r.Min.Y, q.Y)
		r.Max.X, r.Max.Y = max(r.Max.X, q.X), max(r.Max.Y, q.Y)
	}
	return r
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
