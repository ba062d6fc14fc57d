package figure

import (
	"bytes"
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// Bounds of a PNG file.
const (
	maxDPI    = 2400
	maxPixels = 100e6
)

// png returns the page as PNG on white.
func (p *page) png(dpi int) ([]byte, error) {
	if dpi < 10 || dpi > maxDPI {
		return nil, fmt.Errorf("%d dots per inch; accepted: 10 to %d", dpi, maxDPI)
	}
	if n := p.width.Dots(float64(dpi)) * p.height.Dots(float64(dpi)); n > maxPixels {
		return nil, fmt.Errorf("%.0f million pixels at %d dots per inch; accepted: %.0f", n/1e6, dpi, maxPixels/1e6)
	}
	c := vgimg.NewWith(vgimg.UseWH(p.width, p.height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(color.White))
	for _, o := range p.ops {
		c.SetColor(o.ink)
		if o.kind == written {
			face := sans().face
			face.Font.Size = o.size
			c.Push()
			c.Translate(o.at)
			c.Rotate(o.angle)
			c.FillString(face, vg.Point{}, o.text)
			c.Pop()
			continue
		}
		var path vg.Path
		for _, s := range o.path {
			switch s.kind {
			case 'M':
				path.Move(s.p[0])
			case 'L':
				path.Line(s.p[0])
			case 'C':
				path.CubeTo(s.p[0], s.p[1], s.p[2])
			case 'Z':
				path.Close()
			}
		}
		if o.kind == fill {
			c.Fill(path)
			continue
		}
		c.SetLineWidth(o.width)
		c.SetLineDash(o.dashes, 0)
		c.Stroke(path)
	}
	var b bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&b)
	return b.Bytes(), err
}
