package figure

import (
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"gonum.org/v1/plot"

	"github.com/meshbench/meshbench/lab/mesh"
)

// diagram draws boxes and arrows on a canvas.
type diagram struct{ c draw.Canvas }

var boxFill = color.RGBA{0xee, 0xf4, 0xfa, 0xff}

// at is a point in percent of the canvas.
func (d diagram) at(x, y float64) vg.Point {
	r := d.c.Rectangle
	return vg.Point{X: r.Min.X + vg.Length(x/100)*r.Size().X, Y: r.Min.Y + vg.Length(y/100)*r.Size().Y}
}

func (d diagram) style(size vg.Length) draw.TextStyle {
	return draw.TextStyle{Color: color.Black, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: plot.DefaultTextHandler, XAlign: text.XCenter, YAlign: text.YCenter}
}

// box draws a box around (x, y) with lines of text.
func (d diagram) box(x, y, w, h float64, lines ...string) {
	a, b := d.at(x-w/2, y-h/2), d.at(x+w/2, y+h/2)
	corners := []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}}
	d.c.FillPolygon(boxFill, corners)
	d.c.StrokeLines(draw.LineStyle{Color: color.Black, Width: .8}, append(corners, a))
	for k, l := range lines {
		p := d.at(x, y)
		p.Y += vg.Length(float64(len(lines)-1)/2-float64(k)) * 10
		d.c.FillText(d.style(textSize), p, l)
	}
}

// arrow draws an arrow with a label beside its point at the given share of its
// length.
func (d diagram) arrow(x0, y0, x1, y1 float64, label string, share float64, dx, dy vg.Length) {
	a, b := d.at(x0, y0), d.at(x1, y1)
	sty := draw.LineStyle{Color: palette[0], Width: .9}
	d.c.StrokeLine2(sty, a.X, a.Y, b.X, b.Y)
	angle := math.Atan2(float64(b.Y-a.Y), float64(b.X-a.X))
	head := []vg.Point{b}
	for _, side := range []float64{2.75, -2.75} {
		head = append(head, vg.Point{X: b.X + vg.Length(5*math.Cos(angle+side)), Y: b.Y + vg.Length(5*math.Sin(angle+side))})
	}
	d.c.FillPolygon(palette[0], head)
	if label != "" {
		sty := d.style(7)
		at := vg.Point{X: a.X + vg.Length(share)*(b.X-a.X) + dx, Y: a.Y + vg.Length(share)*(b.Y-a.Y) + dy}
		w := sty.Width(label)/2 + 1
		d.c.FillPolygon(color.White, []vg.Point{{X: at.X - w, Y: at.Y - 4}, {X: at.X + w, Y: at.Y - 4}, {X: at.X + w, Y: at.Y + 4}, {X: at.X - w, Y: at.Y + 4}})
		d.c.FillText(sty, at, label)
	}
}

// Mesh draws a mesh (paper, Fig. 1b): a load generator per service, the front
// node that blocks and routes, the processing nodes and their databases, each with
// the values that an action of space sets there. A mesh whose services pass several
// calls is drawn as a CallGraph (Fig. 1a).
func Mesh(space *mesh.Space) (Figure, error) {
	m := space.Mesh()
	var graph []GraphService
	several := false
	for _, s := range m.Services {
		g := GraphService{Name: s.Name}
		for _, stage := range s.Stages {
			var calls []GraphCall
			for _, c := range stage {
				calls = append(calls, GraphCall{c.Microservice, c.Nodes})
				several = several || len(c.Nodes) != m.N()
			}
			g.Stages = append(g.Stages, calls)
			several = several || len(stage) > 1 || len(s.Stages) > 1
		}
		graph = append(graph, g)
	}
	if several {
		return CallGraph("front", graph...)
	}
	rows := max(m.M(), m.N())
	height := vg.Length(rows)*.75*vg.Inch + .3*vg.Inch
	return Figure{Column, height, func(c draw.Canvas) {
		d := diagram{c}
		place := func(k, n int) float64 { return 100 * (float64(n-k) - .5) / float64(n) }
		blocks, routes, nodes := settings(space)
		front := []string{"front node"}
		if blocks != nil {
			front = append(front, "blocks", list(blocks, " "))
		}
		d.box(42, 50, 19, 40, front...)
		for i, name := range m.ServiceNames() {
			y := place(i, m.M())
			d.box(11, y, 21, 55/float64(rows), "load of", name)
			d.arrow(21.5, y, 32, 50+(y-50)*.25, m.LoadName(i), .5, 0, 6)
		}
		for j, name := range m.NodeNames() {
			y := place(j, m.N())
			lines := []string{name}
			if nodes[j] != nil {
				lines = append(lines, list(nodes[j], " "))
			}
			d.box(72, y, 15, 55/float64(rows), lines...)
			d.arrow(51.8, 50+(y-50)*.25, 64.5, y, list(routes[j], ", "), .5, -5, vg.Length(math.Copysign(11, y-50)))
			d.box(93, y, 13, 45/float64(rows), "data-", "base")
			d.arrow(79.5, y, 86.5, y, "", 0, 0, 0)
		}
	}}, nil
}

// settings are the columns of an action: of blocking, of the routes to each node,
// and of each node's own knobs.
func settings(space *mesh.Space) (blocks []string, routes, nodes [][]string) {
	n := space.Mesh().N()
	routes, nodes = make([][]string, n), make([][]string, n)
	for _, k := range space.Knobs() {
		switch k.Kind {
		case mesh.Block:
			blocks = append(blocks, k.Columns...)
		case mesh.Route:
			for c, j := range space.Layout().Calls[k.Of].Nodes {
				routes[j] = append(routes[j], k.Columns[c])
			}
		case mesh.Replicas, mesh.CPU:
			nodes[k.Of] = append(nodes[k.Of], k.Columns...)
		}
	}
	return blocks, routes, nodes
}

// list joins names, the first and the last of many, for which there is no room.
func list(names []string, between string) string {
	if len(names) > 2 {
		return names[0] + " … " + names[len(names)-1]
	}
	return strings.Join(names, between)
}

// Framework draws the loop of the method (paper, Fig. 2): measure on a testbed,
// learn a system model, train a policy per objective in a simulator made of the
// model, evaluate there and on the testbed.
func Framework() Figure {
	return Figure{Column, 1.9 * vg.Inch, func(c draw.Canvas) {
		d := diagram{c}
		d.box(15, 80, 27, 24, "testbed")
		d.box(15, 20, 27, 24, "trace")
		d.box(50, 20, 27, 24, "system model", "(random forest)")
		d.box(85, 20, 27, 24, "simulator")
		d.box(85, 80, 27, 24, "policies", "(one per objective)")
		d.arrow(15, 68, 15, 32.5, "random loads,", .35, 28, 0)
		d.c.FillText(d.style(7), d.at(26, 49), "random actions")
		d.arrow(28.5, 20, 36, 20, "fit", .5, 0, 6)
		d.arrow(63.5, 20, 71, 20, "", 0, 0, 0)
		d.arrow(82, 32.5, 82, 67.5, "train (PPO)", .5, -24, 0)
		d.arrow(88, 67.5, 88, 32.5, "evaluate", .5, 17, 0)
		d.arrow(71, 80, 29, 80, "control and evaluate", .5, 0, 6)
	}}
}
