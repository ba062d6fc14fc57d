package figure

import (
	"bytes"
	"image/color"
	"math"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"gonum.org/v1/plot/vg"
)

// pdf returns the page as PDF with the letters that it uses as an embedded
// TrueType font. It holds no date: the same page gives the same bytes.
func (p *page) pdf() ([]byte, error) {
	doc := fpdf.NewCustom(&fpdf.InitType{UnitStr: "pt", Size: fpdf.SizeType{Wd: p.width.Points(), Ht: p.height.Points()}})
	doc.SetCatalogSort(true)
	doc.SetCreationDate(time.Unix(0, 0).UTC())
	doc.SetModificationDate(time.Unix(0, 0).UTC())
	doc.SetMargins(0, 0, 0)
	doc.SetAutoPageBreak(false, 0)
	doc.AddUTF8FontFromBytes("sans", "", sans().source)
	doc.AddPage()
	alpha := uint8(0xff)
	ink := func(c color.NRGBA) {
		if c.A != alpha {
			alpha = c.A
			doc.SetAlpha(float64(c.A)/0xff, "Normal")
		}
		r, g, b := int(c.R), int(c.G), int(c.B)
		doc.SetFillColor(r, g, b)
		doc.SetDrawColor(r, g, b)
		doc.SetTextColor(r, g, b)
	}
	xy := func(q vg.Point) (x, y float64) { return q.X.Points(), (p.height - q.Y).Points() }
	for _, o := range p.ops {
		ink(o.ink)
		if o.kind == written {
			x, y := xy(o.at)
			doc.SetFont("sans", "", o.size.Points())
			if o.angle != 0 {
				doc.TransformBegin()
				doc.TransformRotate(o.angle*180/math.Pi, x, y)
			}
			doc.Text(x, y, o.text)
			if o.angle != 0 {
				doc.TransformEnd()
			}
			continue
		}
		for _, s := range o.path {
			x, y := xy(s.p[0])
			switch s.kind {
			case 'M':
				doc.MoveTo(x, y)
			case 'L':
				doc.LineTo(x, y)
			case 'C':
				x1, y1 := xy(s.p[1])
				x2, y2 := xy(s.p[2])
				doc.CurveBezierCubicTo(x, y, x1, y1, x2, y2)
			case 'Z':
				doc.ClosePath()
			}
		}
		if o.kind == fill {
			doc.DrawPath("F")
			continue
		}
		dashes := make([]float64, len(o.dashes))
		for k, d := range o.dashes {
			dashes[k] = d.Points()
		}
		doc.SetLineWidth(o.width.Points())
		doc.SetDashPattern(dashes, 0)
		doc.DrawPath("D")
	}
	var b bytes.Buffer
	err := doc.Output(&b)
	return b.Bytes(), err
}
