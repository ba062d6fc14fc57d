package istio

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/lab/service"
)

// Istio's resources.
var (
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
)

// RouteHeader is the header that the mesh adds to the replies of a service:
// which writing of its VirtualService routed the request.
const RouteHeader = "Meshbench-Route"

// probeEntry is the HTTP entry that lets the front's probes past a fault abort.
const probeEntry = "meshbench-probe"

// Percent rounds weights that sum to 1 to whole percents that sum to 100, by
// largest remainder; of equal remainders the first is rounded up. It panics for
// weights that Action.Validate refuses.
func Percent(p []float64) []int {
	const unit = 1e-9 // so that .29*100 is 29
	percent, order, left := make([]int, len(p)), make([]int, len(p)), 100
	for j, w := range p {
		percent[j], order[j] = int(math.Floor(100*w+unit)), j
		left -= percent[j]
	}
	if len(p) == 0 || left < 0 || left > len(p) {
		panic(fmt.Sprintf("istio: weights %v do not sum to 1", p))
	}
	rest := func(j int) float64 { return 100*p[j] - float64(percent[j]) }
	slices.SortStableFunc(order, func(a, b int) int {
		if math.Abs(rest(a)-rest(b)) < unit {
			return a - b
		}
		return cmp.Compare(rest(b), rest(a))
	})
	for _, j := range order[:left] {
		percent[j]++
	}
	return percent
}

// routing is what the testbed sets in the VirtualService of one service.
type routing struct {
	weights  []int   // percent, per node
	abort    float64 // percent of the requests that the mesh answers with 429
	revision string  // value of RouteHeader; "" where it was never set
}

// same tells whether r and o do the same to requests.
func (r routing) same(o routing) bool {
	return slices.Equal(r.weights, o.weights) && r.abort == o.abort
}

func (r routing) String() string {
	var b strings.Builder
	for j, w := range r.weights {
		if j > 0 {
			b.WriteByte('/')
		}
		fmt.Fprint(&b, w)
	}
	if r.abort > 0 {
		fmt.Fprintf(&b, ", %g %% aborted", r.abort)
	}
	return b.String()
}

// entries are the HTTP entries of a VirtualService, deep copied.
func entries(vs *unstructured.Unstructured) ([]map[string]any, error) {
	list, _, err := unstructured.NestedSlice(vs.Object, "spec", "http")
	if err != nil {
		return nil, fmt.Errorf("VirtualService %s: %w", vs.GetName(), err)
	}
	var http []map[string]any
	for k, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("VirtualService %s: spec.http[%d] is not an object", vs.GetName(), k)
		}
		http = append(http, m)
	}
	return http, nil
}

// managed finds the HTTP entry whose destinations are the nodes' subsets, and
// the destinations in the nodes' order.
func managed(vs *unstructured.Unstructured, http []map[string]any, nodes []string) (entry int, destinations []map[string]any, err error) {
	entry = -1
	for k, e := range http {
		if e["name"] == probeEntry {
			continue
		}
		list, _, _ := unstructured.NestedSlice(e, "route") // a copy, so put back below
		found := make([]map[string]any, len(nodes))
		matched := 0
		for _, d := range list {
			d, ok := d.(map[string]any)
			if !ok {
				continue
			}
			subset, _, _ := unstructured.NestedString(d, "destination", "subset")
			if j := slices.Index(nodes, subset); j >= 0 && found[j] == nil {
				found[j] = d
				matched++
			}
		}
		if matched == len(nodes) && len(list) == len(nodes) {
			if entry >= 0 {
				return -1, nil, fmt.Errorf("VirtualService %s has two HTTP entries for the subsets %s; accepted: one", vs.GetName(), strings.Join(nodes, ", "))
			}
			e["route"] = list
			entry, destinations = k, found
		}
	}
	if entry < 0 {
		return -1, nil, fmt.Errorf("VirtualService %s has no HTTP entry with one destination for each of the subsets %s", vs.GetName(), strings.Join(nodes, ", "))
	}
	return entry, destinations, nil
}

// readRouting is what a VirtualService says of the nodes.
func readRouting(vs *unstructured.Unstructured, nodes []string) (routing, error) {
	http, err := entries(vs)
	if err != nil {
		return routing{}, err
	}
	k, destinations, err := managed(vs, http, nodes)
	if err != nil {
		return routing{}, err
	}
	entry := http[k]
	var r routing
	for _, d := range destinations {
		w, ok := number(d["weight"])
		if !ok && len(nodes) == 1 {
			w = 100 // the only destination needs none
		}
		r.weights = append(r.weights, int(w))
	}
	if percentage, ok, _ := unstructured.NestedFieldNoCopy(entry, "fault", "abort", "percentage", "value"); ok {
		r.abort, _ = number(percentage)
	}
	r.revision, _, _ = unstructured.NestedString(entry, "headers", "response", "set", RouteHeader)
	return r, nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// statusBlocked is what a blocked request is answered with.
const statusBlocked = 429

// writeRouting is the HTTP part of a VirtualService with r in it and all else as
// it was. With probing, an entry before it lets the front's probes through.
func writeRouting(vs *unstructured.Unstructured, nodes []string, r routing, probing bool) ([]any, error) {
	http, err := entries(vs)
	if err != nil {
		return nil, err
	}
	place, destinations, err := managed(vs, http, nodes)
	if err != nil {
		return nil, err
	}
	entry := http[place]
	for j, d := range destinations {
		d["weight"] = int64(r.weights[j])
	}
	err = unstructured.SetNestedField(entry, r.revision, "headers", "response", "set", RouteHeader)
	unstructured.RemoveNestedField(entry, "fault", "abort")
	if fault, ok := entry["fault"].(map[string]any); ok && len(fault) == 0 {
		delete(entry, "fault")
	}
	var probe map[string]any
	if probing {
		probe, err = probeOf(entry, err)
	}
	if r.abort > 0 {
		err = errors.Join(err,
			unstructured.SetNestedField(entry, int64(statusBlocked), "fault", "abort", "httpStatus"),
			unstructured.SetNestedField(entry, r.abort, "fault", "abort", "percentage", "value"))
	}
	if err != nil {
		return nil, fmt.Errorf("VirtualService %s: %w", vs.GetName(), err)
	}
	var out []any
	for k, e := range http {
		if e["name"] == probeEntry {
			continue
		}
		if k == place && probe != nil {
			out = append(out, probe)
		}
		out = append(out, e)
	}
	return out, nil
}

// probeOf is a copy of an entry for requests with the probes' header alone.
func probeOf(entry map[string]any, err error) (map[string]any, error) {
	probe := (&unstructured.Unstructured{Object: entry}).DeepCopy().Object
	probe["name"] = probeEntry
	match, _, e := unstructured.NestedSlice(probe, "match")
	if len(match) == 0 {
		match = []any{map[string]any{}}
	}
	for _, m := range match {
		if m, ok := m.(map[string]any); ok {
			e = errors.Join(e, unstructured.SetNestedField(m, "1", "headers", strings.ToLower(service.ProbeHeader), "exact"))
		}
	}
	probe["match"] = match
	return probe, errors.Join(err, e)
}
