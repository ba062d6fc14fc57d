package figure

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"path/filepath"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// Widths of figures: one column, two columns.
const (
	Column = 3.5 * vg.Inch
	Double = 7.16 * vg.Inch
)

// Figure is a drawing of a fixed size. The zero Figure is none: writing it is
// an error.
type Figure struct {
	width, height vg.Length
	draw          func(draw.Canvas)
}

// page draws the figure.
func (f Figure) page() (*page, error) {
	if f.draw == nil {
		return nil, errors.New("figure: nothing was drawn")
	}
	p := newPage(f.width, f.height)
	f.draw(draw.New(p))
	return p, nil
}

// WriteTo writes the figure as SVG. The same data gives the same bytes.
func (f Figure) WriteTo(w io.Writer) (int64, error) {
	p, err := f.page()
	if err != nil {
		return 0, err
	}
	n, err := w.Write(p.svg())
	return int64(n), err
}

// WritePDF writes the figure as PDF. The same data gives the same bytes.
func (f Figure) WritePDF(w io.Writer) error {
	p, err := f.page()
	if err != nil {
		return err
	}
	b, err := p.pdf()
	if err != nil {
		return fmt.Errorf("figure: PDF: %w", err)
	}
	_, err = w.Write(b)
	return err
}

// WritePNG writes the figure as PNG on white, with so many dots per inch: 96
// for a screen, 300 for a slide.
func (f Figure) WritePNG(w io.Writer, dpi int) error {
	p, err := f.page()
	if err != nil {
		return err
	}
	b, err := p.png(dpi)
	if err != nil {
		return fmt.Errorf("figure: PNG: %w", err)
	}
	_, err = w.Write(b)
	return err
}

// Data returns the values that the figure shows, and whether it shows any: a
// diagram does not.
func (f Figure) Data() (Table, bool) {
	p, err := f.page()
	if err != nil || p.data == nil {
		return Table{}, false
	}
	return p.data(), true
}

// Also is what SaveAs writes besides SVG and PDF.
type Also struct {
	PNG int  // dots per inch of name.png; 0 for none
	CSV bool // the figure's data as name.csv, where it has any
}

// Save writes name.svg and name.pdf into dir, which it makes; each whole or
// not at all.
func (f Figure) Save(dir, name string) error { return f.SaveAs(dir, name, Also{}) }

// SaveAs writes what Save does, and more files of the same name.
func (f Figure) SaveAs(dir, name string, also Also) error {
	p, err := f.page()
	if err != nil {
		return fmt.Errorf("figure %s: nothing was drawn", name)
	}
	type file struct {
		kind  string
		bytes []byte
	}
	files := []file{{"svg", p.svg()}}
	b, err := p.pdf()
	if err != nil {
		return fmt.Errorf("figure %s: PDF: %w", name, err)
	}
	files = append(files, file{"pdf", b})
	if also.PNG != 0 {
		b, err := p.png(also.PNG)
		if err != nil {
			return fmt.Errorf("figure %s: PNG: %w", name, err)
		}
		files = append(files, file{"png", b})
	}
	if also.CSV && p.data != nil {
		files = append(files, file{"csv", p.data().CSV()})
	}
	for _, f := range files {
		if err := atomicfile.Write(filepath.Join(dir, name+"."+f.kind), f.bytes); err != nil {
			return fmt.Errorf("figure %s: %w", name, err)
		}
	}
	return nil
}

// palette is Okabe and Ito's, without yellow: told apart by the colour-blind.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // purple
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky
	color.RGBA{0x00, 0x00, 0x00, 0xff},
}

var dashes = [][]vg.Length{nil, {4, 2}, {1, 1.5}, {6, 2, 1, 2}, {8, 3}, {3, 1, 1, 1, 1, 1}, {2, 2}}

var grey = color.Gray{0xdd}

// marks are the shapes of points, in the order of palette.
var marks = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PlusGlyph{}}

// ink, dash and shape are those of the k-th of several. When colours come
// again it is with another dash and mark, so that 49 differ.
func ink(k int) color.Color        { return palette[k%len(palette)] }
func dash(k int) []vg.Length       { return dashes[(k+k/len(palette))%len(dashes)] }
func shape(k int) draw.GlyphDrawer { return marks[(k+k/len(palette))%len(marks)] }
func stroked(k int) draw.LineStyle { return draw.LineStyle{Color: ink(k), Width: 1, Dashes: dash(k)} }

// light is a colour through which a grid is seen.
func light(c color.Color) color.Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	n.A = 0x38
	return n
}

const (
	textSize   = vg.Length(8)
	legendSize = vg.Length(8)
)
