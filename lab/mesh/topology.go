package mesh

// Topology is a mesh as it is deployed on a cluster at one moment.
type Topology struct {
	Mesh      Mesh
	Namespace string
	Pods      []Pod
	Weights   [][]int   // percent, per call and its nodes
	Block     []float64 // share of the requests turned away, per service; NaN where it is not known
}

// Pod is one of a mesh's pods.
type Pod struct {
	Workload string // "front", "generator" or the node
	Name     string
	Address  string
	Phase    string   // as Kubernetes has it: Pending, Running
	NotReady string   // why it does not serve; "" when it does
	Sidecar  bool     // whether it has a proxy of the mesh
	Subsets  []string // "service/subset" of the routing destinations that it belongs to
}
