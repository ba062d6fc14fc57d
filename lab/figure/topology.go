package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Sizes of a drawn topology.
const (
	podWidth     = vg.Length(102)
	podHeight    = vg.Length(34) // name, address, state
	podGap       = vg.Length(5)
	groupTitle   = vg.Length(15)
	groupGap     = vg.Length(10)
	groupPad     = vg.Length(4)
	serviceWidth = vg.Length(44)
	serviceRow   = vg.Length(46)
	thickest     = vg.Length(4.5) // edge, which takes all requests
)

// group is a frame with the pods of a workload in it.
type group struct {
	title string
	pods  []mesh.Pod
}

func (g group) height() vg.Length {
	n := vg.Length(max(1, len(g.pods)))
	return groupTitle + n*podHeight + (n-1)*podGap + groupPad
}

// Topology draws a mesh as it is deployed: the pods of the load generator, the
// front and the nodes with their state, and in between each service's share of
// requests that is blocked, and the weights by which the rest is routed to the
// subsets. Edges are as wide as the share that they take.
func Topology(t mesh.Topology) (Figure, error) {
	m := t.Mesh
	if len(t.Weights) != m.M() || len(t.Block) != m.M() {
		return Figure{}, fmt.Errorf("figure: topology of %d services with weights of %d and blocking of %d", m.M(), len(t.Weights), len(t.Block))
	}
	for i, w := range t.Weights {
		if len(w) != m.N() {
			return Figure{}, fmt.Errorf("figure: topology of %d nodes with %d weights of %s", m.N(), len(w), m.ServiceNames()[i])
		}
	}
	pods := func(workload string) (of []mesh.Pod) {
		for _, p := range t.Pods {
			if p.Workload == workload {
				of = append(of, p)
			}
		}
		return of
	}
	generator, front := group{"load generator", pods("generator")}, group{"front", pods("front")}
	var nodes []group
	right := groupGap * vg.Length(m.N()-1)
	for j, name := range m.NodeNames() {
		g := group{title: name, pods: pods(name)}
		g.title = subset(t, j, g.pods)
		nodes = append(nodes, g)
		right += g.height()
	}
	const top, bottom = vg.Length(16), vg.Length(4)
	height := max(right, generator.height(), front.height(), vg.Length(m.M())*serviceRow) + top + bottom
	return Figure{Double, height, func(c draw.Canvas) {
		d := diagram{c}
		middle := c.Min.Y + bottom + (height-top-bottom)/2
		// Columns, from the left, with room for the edges' labels.
		x0 := c.Min.X + podWidth/2 + 3
		x1 := x0 + podWidth + 36
		x2 := x1 + podWidth/2 + 58 + serviceWidth/2
		x3 := c.Max.X - podWidth/2 - 3
		caption := d.style(7)
		caption.XAlign = text.XLeft
		c.FillText(caption, vg.Point{X: x0 - podWidth/2, Y: c.Max.Y - 7}, "namespace "+t.Namespace)
		caption.XAlign = text.XRight
		c.FillText(caption, vg.Point{X: x3 + podWidth/2, Y: c.Max.Y - 7}, "width of an edge: its share of the requests")

		d.group(x0, middle, generator)
		d.group(x1, middle, front)
		d.flow(vg.Point{X: x0 + podWidth/2 + 1, Y: middle}, vg.Point{X: x1 - podWidth/2 - 1, Y: middle}, 1, color.Black)
		nodeY := make([]vg.Length, m.N())
		y := middle + right/2
		for j, g := range nodes {
			nodeY[j] = y - g.height()/2
			d.group(x3, nodeY[j], g)
			y -= g.height() + groupGap
		}
		// order spreads the ends of edges, the first one highest.
		order := func(k, n int) vg.Length { return vg.Length(n-1)/2 - vg.Length(k) }
		type written struct {
			at   vg.Point
			text string
			ink  color.Color
		}
		var labels []written // above all edges
		for i, name := range m.ServiceNames() {
			at := vg.Point{X: x2, Y: middle + serviceRow*order(i, m.M())}
			ink := palette[i%len(palette)]
			a := vg.Point{X: x1 + podWidth/2 + 1, Y: middle + 9*order(i, m.M())}
			b := vg.Point{X: at.X - serviceWidth/2 - 1, Y: at.Y}
			d.flow(a, b, 1-t.Block[i], ink)
			beside := vg.Length(12)
			if order(i, m.M()) < 0 {
				beside = -12
			}
			labels = append(labels, written{vg.Point{X: a.X + .45*(b.X-a.X), Y: a.Y + .45*(b.Y-a.Y) + beside}, blocked(t.Block[i]), ink})
			d.frame(at.X-serviceWidth/2, at.Y-9, serviceWidth, 18, color.White, draw.LineStyle{Color: ink, Width: 1})
			c.FillText(d.style(7.5), vg.Point{X: at.X, Y: at.Y + .5}, name)
			for j, w := range t.Weights[i] {
				a := vg.Point{X: at.X + serviceWidth/2 + 1, Y: at.Y + 6*order(j, m.N())}
				b := vg.Point{X: x3 - podWidth/2 - 1, Y: nodeY[j] + 9*order(i, m.M())}
				d.flow(a, b, float64(w)/100, ink)
				labels = append(labels, written{vg.Point{X: a.X + .24*(b.X-a.X), Y: a.Y + .24*(b.Y-a.Y)}, fmt.Sprintf("%d %%", w), ink})
			}
		}
		for _, l := range labels {
			d.label(l.at, l.text, l.ink)
		}
	}}, nil
}

// subset says of which services' subset the pods of a node are.
func subset(t mesh.Topology, j int, pods []mesh.Pod) string {
	name, in := t.Mesh.NodeNames()[j], 0
	var of []string
	for _, s := range t.Mesh.ServiceNames() {
		if slices.ContainsFunc(pods, func(p mesh.Pod) bool { return slices.Contains(p.Subsets, s+"/"+name) }) {
			of = append(of, s)
			in++
		}
	}
	switch {
	case len(pods) > 0 && in == 0:
		return name + ", in no subset"
	case len(pods) > 0 && in < t.Mesh.M():
		return "subset " + name + " of " + strings.Join(of, ", ")
	}
	return "subset " + name
}

// blocked says how much of a service's requests is turned away.
func blocked(share float64) string {
	if math.IsNaN(share) {
		return "? % blocked"
	}
	return Number(100*share, 0) + " % blocked"
}

// frame draws a rectangle by its lower left corner.
func (d diagram) frame(x, y, w, h vg.Length, fill color.Color, border draw.LineStyle) {
	corners := []vg.Point{{X: x, Y: y}, {X: x + w, Y: y}, {X: x + w, Y: y + h}, {X: x, Y: y + h}}
	d.c.FillPolygon(fill, corners)
	d.c.StrokeLines(border, append(corners, corners[0]))
}

// group draws a workload around (x, y).
func (d diagram) group(x, y vg.Length, g group) {
	const w = podWidth
	h := g.height()
	d.frame(x-w/2, y-h/2, w, h, color.White, draw.LineStyle{Color: color.Gray{0x88}, Width: .5})
	top := y + h/2
	d.fitted(textSize, w-4, vg.Point{X: x, Y: top - groupTitle/2 + .5}, g.title)
	top -= groupTitle
	if len(g.pods) == 0 {
		d.pod(x, top-podHeight/2, w-2*groupPad, mesh.Pod{NotReady: "no pod", Sidecar: true})
	}
	for _, p := range g.pods {
		d.pod(x, top-podHeight/2, w-2*groupPad, p)
		top -= podHeight + podGap
	}
}

// pod draws a pod around (x, y). One that does not serve has a dashed border
// and a cross for its dot.
func (d diagram) pod(x, y, w vg.Length, p mesh.Pod) {
	border, dot := draw.LineStyle{Color: color.Black, Width: .8}, draw.GlyphStyle{Color: palette[2], Radius: 2.5, Shape: draw.CircleGlyph{}}
	var fill color.Color = boxFill
	state := strings.ToLower(p.Phase) + ", ready"
	if p.NotReady != "" {
		border.Color, border.Dashes, fill = palette[1], dashes[1], color.White
		dot.Color, dot.Shape, state = palette[1], draw.CrossGlyph{}, p.NotReady
	}
	if !p.Sidecar {
		state += ", no sidecar"
	}
	d.frame(x-w/2, y-podHeight/2, w, podHeight, fill, border)
	middle := y
	if p.Name != "" {
		d.fitted(6.5, w-6, vg.Point{X: x, Y: y + 10.5}, p.Name)
		d.fitted(6.5, w-6, vg.Point{X: x, Y: y + 1}, p.Address)
		middle -= 9
	}
	width := d.fitted(6.5, w-20, vg.Point{X: x + 4, Y: middle}, state)
	d.c.DrawGlyph(dot, vg.Point{X: x - width/2 - 3, Y: middle + .5})
}

// fitted writes around a point, smaller where the text is wider than w, and
// returns its width.
func (d diagram) fitted(size, w vg.Length, at vg.Point, text string) vg.Length {
	sty := d.style(size)
	if extra := sty.Width(text) / w; extra > 1 {
		sty.Font.Size /= extra
	}
	d.c.FillText(sty, at, text)
	return sty.Width(text)
}

// flow draws an arrow that is as wide as the share of requests that it takes;
// dotted and thin where it takes none, or an unknown one.
func (d diagram) flow(a, b vg.Point, share float64, ink color.Color) {
	sty := draw.LineStyle{Color: ink, Width: vg.Length(share) * thickest}
	if !(share > 0) {
		sty.Width, sty.Dashes = .5, dashes[2]
	} else {
		sty.Width = max(sty.Width, .6)
	}
	angle := math.Atan2(float64(b.Y-a.Y), float64(b.X-a.X))
	size := max(5, 1.7*sty.Width)
	back := func(turn float64, by vg.Length) vg.Point {
		return vg.Point{X: b.X + by*vg.Length(math.Cos(angle+turn)), Y: b.Y + by*vg.Length(math.Sin(angle+turn))}
	}
	end := back(math.Pi, size*.8)
	d.c.StrokeLine2(sty, a.X, a.Y, end.X, end.Y)
	d.c.FillPolygon(ink, []vg.Point{b, back(2.65, size), back(-2.65, size)})
}

// label writes on white.
func (d diagram) label(at vg.Point, label string, ink color.Color) {
	sty := d.style(7)
	sty.Color = ink
	w := sty.Width(label)/2 + 1.5
	d.c.FillPolygon(color.White, []vg.Point{{X: at.X - w, Y: at.Y - 4}, {X: at.X + w, Y: at.Y - 4}, {X: at.X + w, Y: at.Y + 4}, {X: at.X - w, Y: at.Y + 4}})
	d.c.FillText(sty, at, label)
}
