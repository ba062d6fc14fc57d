package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// A graph is written as messages of onnx.proto: the numbers below are those of its
// fields and constants. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

const (
	irVersion = 8  // of ONNX 1.11, which all runtimes of today read
	opset     = 17 // of the default domain, likewise
	mlOpset   = 3  // of ai.onnx.ml: the first whose trees have double thresholds
	mlDomain  = "ai.onnx.ml"
)

// element is a type of tensors.
type element int

const (
	float32s element = 1
	int64s   element = 7
	float64s element = 11
)

// message is an encoded protobuf message.
type message []byte

func (m *message) int(field protowire.Number, v int) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) bytes(field protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) string(field protowire.Number, v string) { m.bytes(field, []byte(v)) }

// graph collects a graph's nodes and constants.
type graph struct {
	body    message // GraphProto but for its name
	names   map[string]int
	domains map[string]bool
}

func newGraph() *graph { return &graph{names: map[string]int{}, domains: map[string]bool{}} }

// fresh is a name of a value that no other has.
func (g *graph) fresh(what string) string {
	what = strings.ToLower(what)
	g.names[what]++
	return fmt.Sprintf("%s_%d", what, g.names[what])
}

// attribute is an AttributeProto.
type attribute message

func intAttribute(name string, v int) attribute {
	var a message
	a.string(1, name)
	a.int(3, v)
	a.int(20, 2) // INT
	return attribute(a)
}

func stringAttribute(name, v string) attribute {
	var a message
	a.string(1, name)
	a.string(4, v)
	a.int(20, 3) // STRING
	return attribute(a)
}

func intsAttribute(name string, v []int) attribute {
	var a message
	a.string(1, name)
	for _, x := range v {
		a.int(8, x)
	}
	a.int(20, 7) // INTS
	return attribute(a)
}

func stringsAttribute(name string, v []string) attribute {
	var a message
	a.string(1, name)
	for _, x := range v {
		a.string(9, x)
	}
	a.int(20, 8) // STRINGS
	return attribute(a)
}

func doublesAttribute(name string, v []float64) attribute {
	var a message
	a.string(1, name)
	a.bytes(5, tensor("", float64s, []int{len(v)}, doubles(v)))
	a.int(20, 4) // TENSOR
	return attribute(a)
}

// tensor is a TensorProto of little-endian data.
func tensor(name string, of element, shape []int, data []byte) message {
	var t message
	for _, d := range shape {
		t.int(1, d)
	}
	t.int(2, int(of))
	if name != "" {
		t.string(8, name)
	}
	t.bytes(9, data)
	return t
}

func doubles(v []float64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// constant adds a tensor that does not change, and returns its name.
func (g *graph) constant(of element, shape []int, data []byte) string {
	name := g.fresh("constant")
	g.body.bytes(5, tensor(name, of, shape, data))
	return name
}

func (g *graph) doubles(shape []int, v ...float64) string {
	return g.constant(float64s, shape, doubles(v))
}

func (g *graph) floats(shape []int, v []float32) string {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return g.constant(float32s, shape, b)
}

func (g *graph) ints(v ...int) string {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return g.constant(int64s, []int{len(v)}, b)
}

// apply adds a node of one result, and returns its name.
func (g *graph) apply(op string, inputs []string, attributes ...attribute) string {
	name := g.fresh(op)
	g.node("", op, inputs, []string{name}, attributes...)
	return name
}

func (g *graph) node(domain, op string, inputs, outputs []string, attributes ...attribute) {
	var n message
	for _, x := range inputs {
		n.string(1, x)
	}
	for _, x := range outputs {
		n.string(2, x)
	}
	n.string(3, g.fresh(op+"_node"))
	n.string(4, op)
	for _, a := range attributes {
		n.bytes(5, a)
	}
	if domain != "" {
		n.string(7, domain)
		g.domains[domain] = true
	}
	g.body.bytes(1, n)
}

// value is a ValueInfoProto: rows of the given shape.
func value(name string, of element, shape ...int) message {
	var dims, row message
	row.string(2, "N")
	dims.bytes(1, row)
	for _, d := range shape {
		var dim message
		dim.int(1, d)
		dims.bytes(1, dim)
	}
	var t, kind, v message
	t.int(1, int(of))
	t.bytes(2, dims)
	kind.bytes(1, t)
	v.string(1, name)
	v.bytes(2, kind)
	return v
}

func (g *graph) input(name string, of element, shape ...int) string {
	g.body.bytes(11, value(name, of, shape...))
	return name
}

// output gives a value the name that it is known by outside.
func (g *graph) output(name, from string, of element, shape ...int) {
	g.node("", "Identity", []string{from}, []string{name})
	g.body.bytes(12, value(name, of, shape...))
}

// model is the ModelProto of the graph. Metadata are pairs of key and value.
func (g *graph) model(name, doc string, metadata ...[2]string) []byte {
	g.body.string(2, name)
	var m message
	m.int(1, irVersion)
	m.string(2, "meshbench")
	m.string(6, doc)
	m.bytes(7, g.body)
	set := func(domain string, version int) {
		var s message
		s.string(1, domain)
		s.int(2, version)
		m.bytes(8, s)
	}
	set("", opset)
	if g.domains[mlDomain] {
		set(mlDomain, mlOpset)
	}
	for _, kv := range metadata {
		var p message
		p.string(1, kv[0])
		p.string(2, kv[1])
		m.bytes(14, p)
	}
	return m
}
