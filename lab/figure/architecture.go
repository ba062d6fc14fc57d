package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Deployment names the parts of an application on a mesh. Empty names are the
// usual ones.
type Deployment struct {
	Generators []string // load generators; one if nil
	Front      string   // the ingress, which routes; "front node"
	Nodes      []string // processing nodes
	Databases  []string // one for all nodes, or one per node; none if nil
	Proxy      string   // beside the front and each node; "sidecar proxy"
	Control    string   // the control plane; "control plane"
	Weights    string   // what it sets; "routing weights"
	Policy     string   // what decides about those and about blocking; none if empty
}

var arrowLine = draw.LineStyle{Color: palette[0], Width: .9}

// arrow draws an arrow from a to b.
func (p *page) arrow(a, b vg.Point, style draw.LineStyle) {
	angle := math.Atan2(float64(b.Y-a.Y), float64(b.X-a.X))
	back := func(turn, by float64) vg.Point {
		return vg.Point{X: b.X + vg.Length(by*math.Cos(angle+turn)), Y: b.Y + vg.Length(by*math.Sin(angle+turn))}
	}
	p.line(style, a, back(math.Pi, 4))
	p.polygon(style.Color, b, back(2.75, 5), back(-2.75, 5))
}

// Architecture draws an application on a mesh: load generators, the front that
// requests pass, processing nodes, each with its sidecar proxy, databases, and
// above them the control plane, which gives the proxies their routing weights, and
// a policy, which tells it and the front what to do. No node, and a number of
// databases that is neither 1 nor that of the nodes, are errors.
func Architecture(d Deployment) (Figure, error) {
	d = own(d)
	n := len(d.Nodes)
	if n == 0 {
		return Figure{}, fmt.Errorf("figure: no node to draw")
	}
	if k := len(d.Databases); k > 1 && k != n {
		return Figure{}, fmt.Errorf("figure: %d databases of %d nodes", k, n)
	}
	or := func(s, usual string) string {
		if s == "" {
			return usual
		}
		return s
	}
	if len(d.Generators) == 0 {
		d.Generators = []string{"load generator"}
	}
	const nodeHeight, gap, control = vg.Length(36), vg.Length(8), vg.Length(46)
	rows := max(n, len(d.Generators))
	body := vg.Length(rows)*(nodeHeight+gap) - gap
	height := body + control + 2*edge
	return Figure{Column, height, func(canvas draw.Canvas) {
		p := canvas.Canvas.(*page)
		width := Column - 2*edge
		// Columns by their left and right ends, in shares of the width.
		column := func(from, to float64) (a, b vg.Length) {
			return edge + vg.Length(from)*width, edge + vg.Length(to)*width
		}
		g0, g1 := column(0, .18)
		f0, f1 := column(.27, .46)
		n0, n1 := column(.59, .79)
		d0, d1 := column(.855, 1)
		if len(d.Databases) == 0 {
			n0, n1 = column(.72, 1)
		}
		rect := func(a, b, low, high vg.Length) vg.Rectangle {
			return vg.Rectangle{Min: vg.Point{X: a, Y: low}, Max: vg.Point{X: b, Y: high}}
		}
		place := func(k, of int) vg.Length { // middle of the k-th of so many
			return edge + body*(1-(vg.Length(k)+.5)/vg.Length(of))
		}
		// withProxy draws a part with its proxy along the lower edge.
		withProxy := func(r vg.Rectangle, name string) (proxy vg.Rectangle) {
			p.boxed(rect(r.Min.X, r.Max.X, r.Min.Y+15, r.Max.Y), boxFill, color.Black, name)
			proxy = rect(r.Min.X, r.Max.X, r.Min.Y, r.Min.Y+15)
			p.polygon(tint(palette[4]), corners(proxy.Min, proxy.Max)...)
			p.border(draw.LineStyle{Color: color.Black, Width: .8}, corners(proxy.Min, proxy.Max)...)
			at := vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: r.Min.Y + 7.5}
			p.write(or(d.Proxy, "sidecar proxy"), min(6.5, 6.5*(r.Size().X-2)/max(textWidth(printable(or(d.Proxy, "sidecar proxy")), 6.5), 1)), at, .5, .5, r.Size().X-2, false, color.Black)
			return proxy
		}
		dashed := draw.LineStyle{Color: palette[1], Width: .8, Dashes: dashes[1]}
		middle := edge + body/2
		half := min(body, 60) / 2
		front := rect(f0, f1, middle-half, middle+half)
		fp := withProxy(front, or(d.Front, "front node"))
		top := edge + body + control
		cp := rect(f0, n1, top-18, top)
		p.boxed(cp, tint(palette[2]), color.Black, or(d.Control, "control plane"))
		// Weights go to the front, and along the nodes to each of them.
		fx := (f0 + f1) / 2
		p.arrow(vg.Point{X: fx, Y: cp.Min.Y}, vg.Point{X: fx, Y: front.Max.Y + 1}, dashed)
		if d.Policy != "" {
			decides := rect(g0, g1, top-18, top)
			p.boxed(decides, tint(palette[3]), color.Black, d.Policy)
			p.arrow(vg.Point{X: g1, Y: top - 9}, vg.Point{X: f0 - 1, Y: top - 9}, dashed)
			sees := vg.Point{X: g0 + 12, Y: edge + body}
			p.arrow(sees, vg.Point{X: sees.X, Y: decides.Min.Y - 1}, draw.LineStyle{Color: palette[0], Width: .9, Dashes: []vg.Length{1, 2}})
			p.write("load", 7, vg.Point{X: sees.X + 4, Y: (decides.Min.Y + edge + body) / 2}, 0, .5, g1-sees.X-14, false, color.Black)
			from, to := vg.Point{X: g1 - 10, Y: decides.Min.Y}, vg.Point{X: f0 - 1, Y: front.Max.Y - 6}
			p.arrow(from, to, dashed)
			beside := vg.Point{X: from.X + .35*(to.X-from.X) + 5, Y: (decides.Min.Y + edge + body) / 2}
			p.write("blocking", 7, beside, 0, .5, (f0+f1)/2-beside.X, false, color.Black)
		}
		bus := (f1+n0)/2 + 4
		p.write(or(d.Weights, "routing weights"), 7, vg.Point{X: bus + 4, Y: (cp.Min.Y + edge + body) / 2}, 0, .5, n1-bus, false, color.Black)
		lowest := cp.Min.Y
		for k, name := range d.Nodes {
			y := place(k, n)
			proxy := withProxy(rect(n0, n1, y-nodeHeight/2, y+nodeHeight/2), name)
			at := (proxy.Min.Y + proxy.Max.Y) / 2
			p.arrow(vg.Point{X: bus, Y: at + 4}, vg.Point{X: n0 - 1, Y: at + 4}, dashed)
			lowest = at + 4
			p.arrow(vg.Point{X: f1, Y: (fp.Min.Y+fp.Max.Y)/2 - 2}, vg.Point{X: n0 - 1, Y: at - 2}, arrowLine)
			if len(d.Databases) > 0 {
				to := y
				if len(d.Databases) == 1 {
					to = middle + (y-middle)*min(1, (nodeHeight-10)/max(body, 1))
				}
				p.arrow(vg.Point{X: n1, Y: y}, vg.Point{X: d0 - 1, Y: to}, arrowLine)
			}
		}
		p.line(dashed, vg.Point{X: bus, Y: cp.Min.Y}, vg.Point{X: bus, Y: lowest})
		for k, name := range d.Databases {
			y := place(k, len(d.Databases))
			p.boxed(rect(d0, d1, y-nodeHeight/2, y+nodeHeight/2), color.White, color.Black, name)
		}
		for k, name := range d.Generators {
			y := place(k, len(d.Generators))
			p.boxed(rect(g0, g1, y-nodeHeight/2, y+nodeHeight/2), boxFill, color.Black, name)
			p.arrow(vg.Point{X: g1, Y: y}, vg.Point{X: f0 - 1, Y: middle + (y-middle)*min(1, 2*(half-6)/max(body, 1))}, arrowLine)
		}
	}}, nil
}
