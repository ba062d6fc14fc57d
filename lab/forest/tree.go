package forest

// Node is a node of a tree: a leaf where Value is not nil.
type Node struct {
	// A row whose Feature is at most Threshold goes to node Left, another to node
	// Left+1.
	Feature   int
	Threshold float64
	Left      int
	Value     []float64 // outputs of a leaf; shared, it must not be changed
}

// Tree returns the nodes of tree k, the root first, breadth first: a prediction is
// the mean of its trees' leaves. It panics when k is out of range.
func (f *Forest) Tree(k int) []Node {
	out := make([]Node, len(f.trees[k]))
	width := f.outputs()
	for i, n := range f.trees[k] {
		if n.isLeaf() {
			v := int(n.value()) * width
			out[i].Value = f.values[v : v+width : v+width]
			continue
		}
		out[i] = Node{Feature: int(n.feature()), Threshold: f.cuts[n.feature()][n.cut()], Left: int(n.child())}
	}
	return out
}
