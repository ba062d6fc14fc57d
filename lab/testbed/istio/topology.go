package istio

import (
	"context"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Topology is the mesh as the API server has it.
type Topology struct {
	Pods    []Pod
	Weights [][]int // percent, per service and node
}

// Pod is one of the mesh's pods.
type Pod struct {
	Workload string // "front", "generator" or the node
	Name     string
	Address  string
	State    string // "ready", or why it is not
}

// Topology reads pods and weights.
func (t *Testbed) Topology(ctx context.Context) (Topology, error) {
	var all Topology
	by, err := t.plane.pods.list(ctx)
	if err != nil {
		return all, fmt.Errorf("istio: pods: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		for _, p := range by[name] {
			state := unready(p)
			if state == "" {
				state = "ready"
			}
			all.Pods = append(all.Pods, Pod{name, p.Name, p.Status.PodIP, state})
		}
	}
	for _, name := range t.cfg.Mesh.ServiceNames() {
		vs, err := t.cfg.Dynamic.Resource(virtualServices).Namespace(t.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return all, fmt.Errorf("istio: VirtualService %s: %w", name, err)
		}
		r, err := readRouting(vs, t.cfg.Mesh.NodeNames())
		if err != nil {
			return all, fmt.Errorf("istio: %w", err)
		}
		all.Weights = append(all.Weights, r.weights)
	}
	return all, nil
}
