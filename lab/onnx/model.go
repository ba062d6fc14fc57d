package onnx

import (
	"errors"
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/model"
)

// maxFile bounds a model's file, bytes: protobuf reads no larger one.
const maxFile = 1<<31 - 1

// Model returns a joint model as an ONNX model; metadata, pairs of key and value, go
// into it. See the package for its input and output. A model of structure per node,
// which puts distributions together, and one that mixes medians in are errors: no
// ensemble of trees is either.
func Model(m model.Learned, metadata ...[2]string) ([]byte, error) {
	j, ok := m.(*model.Joint)
	if !ok {
		return nil, fmt.Errorf("onnx: a model of structure %q puts the distributions of nodes together, which trees alone do not; accepted: structure %q (meshbench learn -joint)", m.Structure(), model.JointInputs)
	}
	if j.Median() > 0 {
		return nil, fmt.Errorf("onnx: the model mixes medians in, by a weight of %v; accepted: means alone", j.Median())
	}
	if n := len(j.Unmeasured()); n > 0 {
		return nil, fmt.Errorf("onnx: the trace did not say which nodes answered, so %d targets have no trees; accepted: models of all targets", n)
	}
	g := newGraph()
	features := j.Space().FeatureNames()
	x := g.input("x", float64s, len(features))
	var parts []string
	for _, f := range j.Forests() {
		parts = append(parts, g.ensemble(x, f))
	}
	targets := model.Targets(j.Space(), j.Kind())
	y := parts[0]
	if len(parts) > 1 {
		y = g.apply("Concat", parts, intAttribute("axis", 1))
	}
	g.output("targets", y, float32s, len(targets))
	doc := fmt.Sprintf("System model of %s. The columns of x are %s; those of targets are %s.", j.Space(), strings.Join(features, " "), strings.Join(targets, " "))
	return g.bounded("model", doc, metadata...)
}

// Forest returns the mean of a forest's trees as an ONNX model, whose input "x" and
// output "targets" are as those of Model.
func Forest(f *forest.Forest, metadata ...[2]string) ([]byte, error) {
	g := newGraph()
	g.output("targets", g.ensemble(g.input("x", float64s, len(f.Features())), f), float32s, len(f.Outputs()))
	return g.bounded("forest", fmt.Sprintf("The columns of x are %s; those of targets are %s.", strings.Join(f.Features(), " "), strings.Join(f.Outputs(), " ")), metadata...)
}

// bounded is a model that protobuf reads.
func (g *graph) bounded(name, doc string, metadata ...[2]string) ([]byte, error) {
	if len(g.body) > maxFile-1<<16 {
		return nil, errTooLarge
	}
	return g.model(name, doc, metadata...), nil
}

var errTooLarge = errors.New("onnx: the model's trees take more than the 2 GB of an ONNX file; learn fewer trees or larger leaves")

// ensemble adds the mean of a forest's trees. Thresholds and leaves are float64, so
// that no input goes another way than in the forest; results are float32, for which
// the operator has no other type.
func (g *graph) ensemble(x string, f *forest.Forest) string {
	n := f.Nodes()
	tree, id, feature := make([]int, 0, n), make([]int, 0, n), make([]int, 0, n)
	left, right := make([]int, 0, n), make([]int, 0, n)
	threshold, mode := make([]float64, 0, n), make([]string, 0, n)
	var leafTree, leafNode, leafTarget []int
	var leaf []float64
	for t := range f.Trees() {
		for k, node := range f.Tree(t) {
			tree, id = append(tree, t), append(id, k)
			feature, threshold = append(feature, node.Feature), append(threshold, node.Threshold)
			if node.Value == nil {
				mode = append(mode, "BRANCH_LEQ")
				left, right = append(left, node.Left), append(right, node.Left+1)
				continue
			}
			mode = append(mode, "LEAF")
			left, right = append(left, 0), append(right, 0)
			for o, v := range node.Value {
				leafTree, leafNode, leafTarget = append(leafTree, t), append(leafNode, k), append(leafTarget, o)
				leaf = append(leaf, v)
			}
		}
	}
	name := g.fresh("forest")
	g.node(mlDomain, "TreeEnsembleRegressor", []string{x}, []string{name},
		stringAttribute("aggregate_function", "AVERAGE"), intAttribute("n_targets", len(f.Outputs())),
		intsAttribute("nodes_treeids", tree), intsAttribute("nodes_nodeids", id), intsAttribute("nodes_featureids", feature),
		stringsAttribute("nodes_modes", mode), doublesAttribute("nodes_values_as_tensor", threshold),
		intsAttribute("nodes_truenodeids", left), intsAttribute("nodes_falsenodeids", right),
		intsAttribute("target_treeids", leafTree), intsAttribute("target_nodeids", leafNode), intsAttribute("target_ids", leafTarget),
		doublesAttribute("target_weights_as_tensor", leaf))
	return name
}
