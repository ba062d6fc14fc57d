package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Policy returns a policy as an ONNX model; metadata, pairs of key and value, go
// into it. See the package for its inputs and outputs.
func Policy(n *learner.Network, metadata ...[2]string) ([]byte, error) {
	d := n.Description()
	if d.Space.Limits() != nil {
		return nil, errors.New("onnx: a policy within limits over several knobs cannot be exported yet; accepted: one without")
	}
	p := &policy{graph: newGraph(), d: d, arrays: map[string]ppo.Array{}}
	for _, a := range n.Trained().Arrays() {
		p.arrays[a.Name] = a
	}
	x := p.observation(n)
	p.masks()
	logits, choices := p.network(x, n.Trained())
	_, heads := n.Trained().Spaces()
	total := 0
	for _, c := range heads {
		total += c
	}
	p.output("action", p.action(choices), float64s, d.Space.Width())
	p.output("choice", p.together(choices), int64s, len(heads))
	p.output("logits", logits, float32s, total)
	doc := fmt.Sprintf("Policy for %s. The values of an action are %s.", d.Space, strings.Join(d.Space.Columns(), " "))
	return p.model("policy", doc, metadata...), nil
}

type policy struct {
	*graph
	d      learner.Description
	arrays map[string]ppo.Array
	// allowed says of each head which choices are, N x choices; nil, and "", for all.
	allowed []string
}

// masks says which choices are allowed, where knobs move by increments: those within
// a knob's step of the point that was asked for last.
func (p *policy) masks() {
	space, asked := p.d.Space, ""
	knobs := make([]string, len(space.Knobs()))
	for h, k := range space.Knobs() {
		if k.Step == 0 {
			continue
		}
		if asked == "" {
			asked = p.input("asked", float64s, space.Width())
		}
		columns, numbers := make([]int, k.Width()), make([]float64, len(k.Points))
		for j := range columns {
			columns[j] = k.First + j
		}
		for u := range numbers {
			numbers[u] = float64(u)
		}
		values := p.apply("Gather", []string{asked, p.ints(columns...)}, intAttribute("axis", 1))
		far := p.apply("Sub", []string{p.apply("Unsqueeze", []string{values, p.ints(1)}), p.doubles([]int{len(k.Points), k.Width()}, slices.Concat(k.Points...)...)})
		far = p.apply("ReduceSum", []string{p.apply("Mul", []string{far, far}), p.ints(2)}, intAttribute("keepdims", 0))
		at := p.apply("ArgMin", []string{far}, intAttribute("axis", 1), intAttribute("keepdims", 1))
		moved := p.apply("Sub", []string{p.apply("Cast", []string{at}, intAttribute("to", int(float64s))), p.doubles([]int{len(numbers)}, numbers...)})
		near := p.apply("LessOrEqual", []string{p.apply("Abs", []string{moved}), p.doubles(nil, float64(k.Step))})
		knobs[h] = p.apply("Or", []string{near, p.apply("IsNaN", []string{far})}) // nothing was asked for before the first step
	}
	switch {
	case asked == "":
	case p.d.Heads != learner.WholeAction:
		p.allowed = knobs
	default:
		all := ""
		for h, a := range knobs {
			if a == "" {
				continue
			}
			points := make([]int, space.Len())
			var choice []int
			for k := range points {
				choice = space.Choice(choice, k)
				points[k] = choice[h]
			}
			of := p.apply("Gather", []string{a, p.ints(points...)}, intAttribute("axis", 1))
			if all != "" {
				of = p.apply("And", []string{all, of})
			}
			all = of
		}
		p.allowed = []string{all}
	}
}

// allow is logits of head h, minus infinity for choices that are not allowed.
func (p *policy) allow(h int, logits string) string {
	if p.allowed == nil || p.allowed[h] == "" {
		return logits
	}
	return p.apply("Where", []string{p.allowed[h], logits, p.floats([]int{1}, []float32{float32(math.Inf(-1))})})
}

// observation codes the inputs as learner.Observation says: in float64 as there,
// and rounded to float32 last.
func (p *policy) observation(n *learner.Network) string {
	o, m := p.d.Observation, len(p.d.Loads)
	var parts []string
	if o.Delays {
		d := p.input("delay", float64s, m)
		coded := d
		if o.Normalise {
			coded = p.apply("Div", []string{d, p.apply("Add", []string{d, p.doubles([]int{m}, p.d.Goals...)})})
		}
		missing := p.apply("IsNaN", []string{d})
		parts = append(parts, p.rounded(p.apply("Where", []string{missing, p.doubles([]int{1}, 0), coded})))
	}
	now := p.apply("Unsqueeze", []string{p.input("load", float64s, m), p.ints(1)})
	if o.Past > 0 {
		now = p.apply("Concat", []string{now, p.input("past", float64s, o.Past, m)}, intAttribute("axis", 1))
	}
	parts = append(parts, p.flat(p.loads(now)))
	if o.InForce {
		top, slow, ahead := n.InForce()
		share := func(name string, top []float64) {
			parts = append(parts, p.rounded(p.apply("Div", []string{p.input(name, float64s, len(top)), p.doubles([]int{len(top)}, top...)})))
		}
		share("in_force", top)
		var tops []float64
		for _, h := range slow {
			tops = append(tops, slices.Repeat([]float64{top[p.d.Space.Knobs()[h].First]}, ahead)...)
		}
		if len(tops) > 0 {
			share("ahead", tops)
		}
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return p.apply("Concat", parts, intAttribute("axis", 1))
}

// rounded is x as float32.
func (p *policy) rounded(x string) string {
	return p.apply("Cast", []string{x}, intAttribute("to", int(float32s)))
}

// flat joins all but the first dimension.
func (p *policy) flat(x string) string {
	return p.apply("Reshape", []string{x, p.ints(0, -1)})
}

// loads codes loads of shape N x steps x services: each as it is, or as its weights
// at the knots, in another dimension.
func (p *policy) loads(x string) string {
	o := p.d.Observation
	gain := o.Gain
	if gain == 0 {
		gain = 1
	}
	var least, width, mid, half []float64
	for _, r := range p.d.Loads {
		least, width = append(least, r.Min), append(width, r.Max-r.Min)
		mid, half = append(mid, r.Mid()), append(half, (r.Max-r.Min)/2)
	}
	each := []int{len(p.d.Loads)}
	one := func(v float64) string { return p.doubles(nil, v) }
	if o.Knots < 2 {
		if o.Normalise {
			x = p.apply("Mul", []string{one(gain), p.apply("Sub", []string{x, p.doubles(each, mid...)})})
			x = p.apply("Div", []string{x, p.doubles(each, half...)})
		}
		return p.rounded(x)
	}
	share := p.apply("Div", []string{p.apply("Sub", []string{x, p.doubles(each, least...)}), p.doubles(each, width...)})
	at := p.apply("Mul", []string{p.apply("Clip", []string{share, one(0), one(1)}), one(float64(o.Knots - 1))})
	left := p.apply("Min", []string{p.apply("Floor", []string{at}), one(float64(o.Knots - 2))})
	w := p.apply("Sub", []string{at, left})
	numbers := make([]float64, o.Knots)
	for k := range numbers {
		numbers[k] = float64(k)
	}
	knots := p.doubles([]int{o.Knots}, numbers...)
	// weight has a value at the knot of the given number, and 0 at the others.
	weight := func(knot, value string) string {
		last := p.ints(-1)
		here := p.apply("Equal", []string{p.apply("Unsqueeze", []string{knot, last}), knots})
		return p.apply("Mul", []string{p.rounded(here), p.apply("Unsqueeze", []string{p.rounded(value), last})})
	}
	return p.apply("Add", []string{
		weight(left, p.apply("Mul", []string{one(gain), p.apply("Sub", []string{one(1), w})})),
		weight(p.apply("Add", []string{left, one(1)}), p.apply("Mul", []string{one(gain), w})),
	})
}

// array is one of the network's as a constant.
func (p *policy) array(name string) string {
	a := p.arrays[name]
	return p.floats(a.Shape, a.Values)
}

// layer is x times the weights of that name, and its bias.
func (p *policy) layer(x, name string) string {
	return p.apply("Add", []string{p.apply("MatMul", []string{x, p.array(name + ".weight")}), p.array(name + ".bias")})
}

// network returns the logits of all heads, N x choices, and the most probable choice
// of each, N x 1.
func (p *policy) network(x string, net *ppo.Policy) (logits string, choices []string) {
	_, heads := net.Spaces()
	layers := len(net.Hidden())
	if !net.Autoregressive() {
		layers++
	}
	for i := range layers {
		if i > 0 {
			x = p.apply("Tanh", []string{x})
		}
		x = p.layer(x, fmt.Sprintf("policy.%d", i))
	}
	if !net.Autoregressive() {
		parts := []string{x}
		if len(heads) > 1 {
			parts = nil
			for range heads {
				parts = append(parts, p.fresh("head"))
			}
			p.node("", "Split", []string{x, p.ints(heads...)}, parts, intAttribute("axis", 1))
		}
		for h := range parts {
			parts[h] = p.allow(h, parts[h])
			choices = append(choices, p.best(parts[h]))
		}
		return p.together(parts), choices
	}
	// Each head adds to the last hidden layer, before its tanh, a row for each choice
	// of the heads before it.
	var parts []string
	for h := range heads {
		y, first := x, 0
		for g, n := range heads[:h] {
			earlier := p.arrays[fmt.Sprintf("policy.head.%d.earlier", h)]
			width := earlier.Shape[1]
			rows := p.floats([]int{n, width}, earlier.Values[first*width:(first+n)*width])
			row := p.apply("Gather", []string{rows, p.apply("Squeeze", []string{choices[g], p.ints(1)})}, intAttribute("axis", 0))
			y = p.apply("Add", []string{y, row})
			first += n
		}
		part := p.allow(h, p.layer(p.apply("Tanh", []string{y}), fmt.Sprintf("policy.head.%d", h)))
		parts, choices = append(parts, part), append(choices, p.best(part))
	}
	return p.together(parts), choices
}

// together joins parts side by side.
func (p *policy) together(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	return p.apply("Concat", parts, intAttribute("axis", 1))
}

// best is the number of the highest logit, the first of equal ones.
func (p *policy) best(logits string) string {
	return p.apply("ArgMax", []string{logits}, intAttribute("axis", 1), intAttribute("keepdims", 1))
}

// action looks up the values of the choices.
func (p *policy) action(choices []string) string {
	space := p.d.Space
	table := func(points [][]float64, choice string) string {
		all := p.doubles([]int{len(points), len(points[0])}, slices.Concat(points...)...)
		return p.apply("Gather", []string{all, p.apply("Squeeze", []string{choice, p.ints(1)})}, intAttribute("axis", 0))
	}
	if p.d.Heads == learner.WholeAction {
		points := make([][]float64, space.Len())
		for k := range points {
			points[k] = mesh.Action(space.At(k))
		}
		return table(points, choices[0])
	}
	var values []string
	for h, k := range space.Knobs() {
		values = append(values, table(k.Points, choices[h]))
	}
	if len(values) == 1 {
		return values[0]
	}
	return p.apply("Concat", values, intAttribute("axis", 1))
}
