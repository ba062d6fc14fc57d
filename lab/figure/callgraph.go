package figure

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// GraphService is a service as the stages in which it calls microservices; the
// calls of a stage are made at the same time.
type GraphService struct {
	Name   string
	Stages [][]GraphCall
}

// GraphCall is a call of a microservice, which any of the nodes may take.
type GraphCall struct {
	Microservice string
	Nodes        []string
}

// Sizes of a call graph.
const (
	callWidth  = vg.Length(92) // at most
	callLeast  = vg.Length(48)
	callGap    = vg.Length(16) // between stages, for arrows
	callRow    = vg.Length(6)  // between calls of a stage
	callHead   = vg.Length(13)
	chipHeight = vg.Length(11)
	chipGap    = vg.Length(3)
	frontWidth = vg.Length(30)
	serviceGap = vg.Length(14)
)

// CallGraph draws services that pass a front node, each in a row: its stages
// from left to right, the calls of a stage above each other, and in each call
// the nodes that may take it. Microservices that several services share have
// the same shade. The figure is a column wide for up to two stages, a page for
// up to five, and wider for more. Stages without calls are left out; no service
// is an error.
func CallGraph(front string, services ...GraphService) (Figure, error) {
	if len(services) == 0 {
		return Figure{}, fmt.Errorf("figure: no service to draw")
	}
	services = own(services)
	users := map[string]int{}
	stages, label := 1, vg.Length(30)
	all := make([][][]GraphCall, len(services))
	for k, s := range services {
		label = max(label, min(textWidth(printable(s.Name), textSize)+4, 80))
		own := map[string]bool{}
		for _, stage := range s.Stages {
			if len(stage) > 0 {
				all[k] = append(all[k], stage)
			}
			for _, c := range stage {
				if !own[c.Microservice] {
					own[c.Microservice] = true
					users[c.Microservice]++
				}
			}
		}
		stages = max(stages, len(all[k]))
	}
	shades := map[string]color.Color{}
	for _, s := range all { // in the order in which they are drawn
		for _, stage := range s {
			for _, c := range stage {
				if _, ok := shades[c.Microservice]; !ok && users[c.Microservice] > 1 {
					shades[c.Microservice] = tint(ink(len(shades)))
				}
			}
		}
	}
	width := Column
	if stages > 2 {
		width = Double
	}
	left := edge + label + 12 + frontWidth
	box := min((width-left-edge)/vg.Length(stages)-callGap, callWidth)
	if box < callLeast {
		box = callLeast
		width = left + edge + vg.Length(stages)*(box+callGap)
	}
	gap := callGap // arrows as long as there is room, up to twice
	if more := (width-left-edge)/vg.Length(stages) - box; more > gap {
		gap = min(more, 2*callGap)
	}
	rows := make([]vg.Length, len(services))
	height := 2*edge - serviceGap + 10
	for k, s := range all {
		rows[k] = callHead + chipHeight
		for _, stage := range s {
			rows[k] = max(rows[k], stageHeight(stage, box))
		}
		height += rows[k] + serviceGap
	}
	return Figure{width, height, func(canvas draw.Canvas) {
		p := canvas.Canvas.(*page)
		top := height - edge - 10
		x0 := edge + label + 12
		p.boxed(vg.Rectangle{Min: vg.Point{X: x0, Y: edge}, Max: vg.Point{X: x0 + frontWidth, Y: top}}, boxFill, color.Black, front)
		for k := range stages {
			x := left + gap + vg.Length(k)*(box+gap)
			p.write(fmt.Sprintf("stage %d", k+1), 6.5, vg.Point{X: x + box/2, Y: height - edge}, .5, 1, box, false, color.Gray{0x55})
		}
		for k, s := range services {
			middle := top - rows[k]/2
			p.write(s.Name, textSize, vg.Point{X: edge + label, Y: middle}, 1, .5, label, false, color.Black)
			p.arrow(vg.Point{X: edge + label + 2, Y: middle}, vg.Point{X: x0 - 1, Y: middle}, arrowLine)
			from := []vg.Point{{X: x0 + frontWidth, Y: middle}}
			for n, stage := range all[k] {
				x := left + gap + vg.Length(n)*(box+gap)
				y := middle + stageHeight(stage, box)/2
				var next []vg.Point
				for _, c := range stage {
					h := callHeight(c, box)
					p.call(c, vg.Rectangle{Min: vg.Point{X: x, Y: y - h}, Max: vg.Point{X: x + box, Y: y}}, shades[c.Microservice])
					for _, f := range from {
						p.arrow(f, vg.Point{X: x - 1, Y: y - h/2}, arrowLine)
					}
					next = append(next, vg.Point{X: x + box, Y: y - h/2})
					y -= h + callRow
				}
				from = next
			}
			top -= rows[k] + serviceGap
		}
	}}, nil
}

// tint is a colour on which black is read.
func tint(c color.Color) color.Color {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	mix := func(v uint8) uint8 { return uint8(255 - (255-int(v))/4) }
	return color.NRGBA{mix(n.R), mix(n.G), mix(n.B), 0xff}
}

// chips arranges the nodes of a call in rows of a box.
func chips(c GraphCall, box vg.Length) (rows [][]string) {
	left := vg.Length(-1)
	for _, n := range c.Nodes {
		w := chipWidth(n, box)
		if w > left {
			rows, left = append(rows, nil), box-chipGap
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], n)
		left -= w + chipGap
	}
	return rows
}

func chipWidth(n string, box vg.Length) vg.Length {
	return min(textWidth(printable(n), 6.5)+5, box-2*chipGap)
}

func callHeight(c GraphCall, box vg.Length) vg.Length {
	return callHead + vg.Length(len(chips(c, box)))*(chipHeight+chipGap)
}

func stageHeight(stage []GraphCall, box vg.Length) vg.Length {
	h := -callRow
	for _, c := range stage {
		h += callHeight(c, box) + callRow
	}
	return h
}

// call draws a microservice with its nodes.
func (p *page) call(c GraphCall, r vg.Rectangle, shade color.Color) {
	if shade == nil {
		shade = color.White
	}
	p.polygon(shade, corners(r.Min, r.Max)...)
	p.border(draw.LineStyle{Color: color.Black, Width: .8}, corners(r.Min, r.Max)...)
	middle := (r.Min.X + r.Max.X) / 2
	size := min(textSize, max(6, textSize*(r.Size().X-4)/max(textWidth(printable(c.Microservice), textSize), 1)))
	p.write(c.Microservice, size, vg.Point{X: middle, Y: r.Max.Y - callHead/2}, .5, .5, r.Size().X-4, false, color.Black)
	y := r.Max.Y - callHead
	for _, row := range chips(c, r.Size().X) {
		total := -chipGap
		for _, n := range row {
			total += chipWidth(n, r.Size().X) + chipGap
		}
		x := middle - total/2
		for _, n := range row {
			w := chipWidth(n, r.Size().X)
			place := vg.Rectangle{Min: vg.Point{X: x, Y: y - chipHeight}, Max: vg.Point{X: x + w, Y: y}}
			p.polygon(color.White, corners(place.Min, place.Max)...)
			p.border(draw.LineStyle{Color: color.Gray{0x66}, Width: .5}, corners(place.Min, place.Max)...)
			p.write(n, 6.5, vg.Point{X: x + w/2, Y: y - chipHeight/2}, .5, .5, w-2, false, color.Black)
			x += w + chipGap
		}
		y -= chipHeight + chipGap
	}
}

// boxed draws a box with a text in the middle, in lines and smaller where the
// box needs it.
func (p *page) boxed(r vg.Rectangle, paint, border color.Color, text string) {
	p.polygon(paint, corners(r.Min, r.Max)...)
	p.border(draw.LineStyle{Color: border, Width: .8}, corners(r.Min, r.Max)...)
	var cut []string
	size, line := textSize, lineHeight
	for ; ; size, line = size-.5, line-.6 {
		cut = wrap(text, size, r.Size().X-3, max(1, int(r.Size().Y/line)))
		if !containsEllipsis(cut) || size <= 6 {
			break
		}
	}
	y := (r.Min.Y+r.Max.Y)/2 + vg.Length(len(cut)-1)*line/2
	p.SetColor(color.Black)
	for _, l := range cut {
		full := l
		if containsEllipsis(cut) && !containsEllipsis([]string{text}) {
			full = text
		}
		p.string(size, vg.Point{X: (r.Min.X+r.Max.X)/2 - textWidth(l, size)/2, Y: y - .31*size}, 0, l, full)
		y -= line
	}
}
