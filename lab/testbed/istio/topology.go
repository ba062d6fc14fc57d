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
	m := t.cfg.Scenario.Mesh
	all := mesh.Topology{Mesh: m, Namespace: t.cfg.Namespace, Block: make([]float64, m.M())}
	by, err := t.plane.pods.list(ctx)
	if err != nil {
		return all, fmt.Errorf("istio: pods: %w", err)
	}
	type subset struct {
		name   string
		labels labels.Selector
	}
	var subsets []subset
	layout := t.cfg.space.Layout()
	all.Weights = make([][]int, len(layout.Calls))
	for c, at := range layout.Calls {
		if len(at.Nodes) == 1 {
			all.Weights[c] = []int{100}
		}
	}
	for _, o := range t.cfg.objects() {
		if !t.cfg.meshed() { // else pods are known by their Deployments
			rule, err := t.cfg.Dynamic.Resource(destinationRules).Namespace(t.cfg.Namespace).Get(ctx, o.name, metav1.GetOptions{})
			if err != nil {
				return all, fmt.Errorf("istio: DestinationRule %s: %w", o.name, err)
			}
			for _, node := range o.subsets() {
				if l := subsetLabels(rule, node); l != nil {
					subsets = append(subsets, subset{o.name + "/" + node, labels.SelectorFromSet(l)})
				}
			}
		}
		vs, err := t.cfg.Dynamic.Resource(virtualServices).Namespace(t.cfg.Namespace).Get(ctx, o.name, metav1.GetOptions{})
		if err != nil {
			return all, fmt.Errorf("istio: VirtualService %s: %w", o.name, err)
		}
		w, err := o.read(vs)
		if err != nil {
			return all, fmt.Errorf("istio: %w", err)
		}
		for k, e := range o.entries {
			all.Weights[e.call] = w.routes[k].weights
			i := layout.Calls[e.call].Service
			all.Block[i] = max(all.Block[i], w.routes[k].abort/100) // of several calls none is aborted
		}
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
