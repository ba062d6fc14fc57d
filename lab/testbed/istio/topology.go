package istio

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Topology reads pods, subsets, weights and blocking from the API server, and
// the front's own blocking from the front.
func (t *Testbed) Topology(ctx context.Context) (mesh.Topology, error) {
	m := t.cfg.Mesh
	all := mesh.Topology{Mesh: m, Namespace: t.cfg.Namespace}
	by, err := t.plane.pods.list(ctx)
	if err != nil {
		return all, fmt.Errorf("istio: pods: %w", err)
	}
	type subset struct {
		name   string
		labels labels.Selector
	}
	var subsets []subset
	for _, name := range m.ServiceNames() {
		rule, err := t.cfg.Dynamic.Resource(destinationRules).Namespace(t.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return all, fmt.Errorf("istio: DestinationRule %s: %w", name, err)
		}
		for _, node := range m.NodeNames() {
			if l := subsetLabels(rule, node); l != nil {
				subsets = append(subsets, subset{name + "/" + node, labels.SelectorFromSet(l)})
			}
		}
		vs, err := t.cfg.Dynamic.Resource(virtualServices).Namespace(t.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return all, fmt.Errorf("istio: VirtualService %s: %w", name, err)
		}
		r, err := readRouting(vs, m.NodeNames())
		if err != nil {
			return all, fmt.Errorf("istio: %w", err)
		}
		all.Weights = append(all.Weights, r.weights)
		all.Block = append(all.Block, r.abort/100)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		for _, p := range by[name] {
			pod := mesh.Pod{Workload: name, Name: p.Name, Address: p.Status.PodIP, Phase: string(p.Status.Phase), NotReady: unready(p), Sidecar: hasSidecar(p)}
			for _, s := range subsets {
				if s.labels.Matches(labels.Set(p.Labels)) {
					pod.Subsets = append(pod.Subsets, s.name)
				}
			}
			all.Pods = append(all.Pods, pod)
		}
	}
	// The front answers at once or not at all.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(t.cfg.Patience*1e9))
	defer cancel()
	setting, err := t.plane.control.Get(ctx)
	for i, name := range m.ServiceNames() {
		if err != nil {
			all.Block[i] = math.NaN()
			continue
		}
		all.Block[i] = 1 - (1-all.Block[i])*(1-setting.Block[name])
	}
	return all, nil
}
