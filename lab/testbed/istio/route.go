package istio

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
)

// Istio's resources.
var (
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
)

// RouteHeader is the header that the mesh adds to the replies of a microservice:
// which writing of its VirtualService routed the request.
const RouteHeader = "Meshbench-Route"

// probeEntry is what the names of HTTP entries begin with that let the front's
// probes past a fault abort of the testbed's: where there is one, the abort of
// the entry that it is for is the testbed's.
const probeEntry = "meshbench-probe"

// Percent rounds weights that sum to 1 to whole percents that sum to 100, by
// largest remainder; of equal remainders the first is rounded up. It panics for
// weights that mesh.Space.Validate refuses.
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

// entry is the HTTP entry of a VirtualService that routes one call.
type entry struct {
	call    int
	name    string   // of the call, for people
	service string   // that makes the call, where others make one of the same microservice; else ""
	nodes   []string // of its destinations

	// Of an application:
	key  string                   // of the call, a word
	http string                   // name of the HTTP entry; "" for that with the destinations
	to   []destination            // of the nodes; default their subsets of any host
	full func(host string) string // a host in full
}

// node is which of e's nodes a destination of a VirtualService is of, -1 for none.
func (e entry) node(to map[string]any) int {
	subset, _, _ := unstructured.NestedString(to, "destination", "subset")
	if e.to == nil {
		return slices.Index(e.nodes, subset)
	}
	host, _, _ := unstructured.NestedString(to, "destination", "host")
	return slices.Index(e.to, destination{e.full(host), subset})
}

// object is a microservice in the API: a VirtualService and a DestinationRule.
type object struct {
	name    string // of both
	title   string // for people
	probe   string // path of probes at the front
	entries []entry
}

// objects are those of a mesh, microservice by microservice.
func objects(l *mesh.Layout, name func(string) string) []object {
	all := make([]object, len(l.Microservices))
	callers := make([]int, len(l.Microservices))
	for _, at := range l.Calls {
		callers[at.Microservice]++
	}
	for c, at := range l.Calls {
		o := &all[at.Microservice]
		e := entry{call: c, name: l.CallName(c)}
		if callers[at.Microservice] > 1 {
			e.service = l.Mesh.Services[at.Service].Name
		}
		for _, j := range at.Nodes {
			e.nodes = append(e.nodes, l.Mesh.Nodes[j].Name)
		}
		if o.entries == nil {
			o.name, o.title, o.probe = name(l.Microservices[at.Microservice]), e.name, service.ProbePath(l, c)
		} else {
			o.title = l.Microservices[at.Microservice]
		}
		o.entries = append(o.entries, e)
	}
	return all
}

// subsets are the nodes that any of the calls may go to.
func (o *object) subsets() (nodes []string) {
	for _, e := range o.entries {
		for _, n := range e.nodes {
			if !slices.Contains(nodes, n) {
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

// say is routings of the object for people: "40/60", with the calls where there
// are several.
func (o *object) say(routes []routing) string {
	if len(routes) == 1 {
		return routes[0].String()
	}
	var all []string
	for k, r := range routes {
		all = append(all, o.entries[k].name+" "+r.String())
	}
	return strings.Join(all, ", ")
}

// routing is what the testbed sets for one call.
type routing struct {
	weights []int   // percent, per node of the call
	abort   float64 // percent of the requests that the mesh answers with 429 for the testbed
	others  string  // what there is in the fault rule besides: "abort, delay"; only read
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

// written is a VirtualService in the API.
type written struct {
	routes     []routing // of its object's entries
	revision   string    // value of RouteHeader; "" where it was never set
	generation int64     // counts the changes of its spec
}

// same tells whether routes do the same to requests.
func (w *written) same(routes []routing) bool {
	return slices.EqualFunc(w.routes, routes, routing.same)
}

// httpOf are the HTTP entries of a VirtualService, deep copied.
func httpOf(vs *unstructured.Unstructured) ([]map[string]any, error) {
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

// serviceHeader is service.ServiceHeader as a VirtualService has it.
var serviceHeader = strings.ToLower(service.ServiceHeader)

// takes reports whether an HTTP entry is for the requests of e's service, where
// that is to be told.
func (e entry) takes(http map[string]any) bool {
	if e.http != "" {
		return http["name"] == e.http
	}
	if e.service == "" {
		return true
	}
	match, _, _ := unstructured.NestedSlice(http, "match")
	for _, m := range match {
		m, _ := m.(map[string]any)
		if s, _, _ := unstructured.NestedString(m, "headers", serviceHeader, "exact"); s != e.service {
			return false
		}
	}
	return len(match) > 0
}

// find finds the HTTP entry that is e's: its destinations are the subsets of the
// call's nodes. It returns the destinations in the nodes' order.
func (e entry) find(vs *unstructured.Unstructured, http []map[string]any) (place int, destinations []map[string]any, err error) {
	place = -1
	which := "the subsets " + strings.Join(e.nodes, ", ")
	if e.to != nil {
		which = "the destinations of " + strings.Join(e.nodes, ", ")
	}
	if e.http != "" {
		which += " and the name " + e.http
	}
	if e.service != "" {
		which += " that matches " + serviceHeader + ": " + e.service
	}
	for k, h := range http {
		if isProbe(h) || !e.takes(h) {
			continue
		}
		list, _, _ := unstructured.NestedSlice(h, "route") // a copy, so put back below
		found := make([]map[string]any, len(e.nodes))
		matched := 0
		for _, d := range list {
			d, ok := d.(map[string]any)
			if !ok {
				continue
			}
			if j := e.node(d); j >= 0 && found[j] == nil {
				found[j] = d
				matched++
			}
		}
		if matched == len(e.nodes) && len(list) == len(e.nodes) {
			if place >= 0 {
				return -1, nil, fmt.Errorf("VirtualService %s has two HTTP entries for %s; accepted: one, or in a scenario's application the name of one", vs.GetName(), which)
			}
			h["route"] = list
			place, destinations = k, found
		}
	}
	if place < 0 {
		err := fmt.Errorf("VirtualService %s has no HTTP entry with one destination for each of %s", vs.GetName(), which)
		if e.to != nil { // its owner has taken it away
			err = lastingError{err}
		}
		return -1, nil, err
	}
	return place, destinations, nil
}

func isProbe(http map[string]any) bool {
	name, _ := http["name"].(string)
	return strings.HasPrefix(name, probeEntry)
}

// probeName is the name of the entry that lets probes past an abort of e.
func (e entry) probeName() string {
	if e.service == "" {
		return probeEntry
	}
	return probeEntry + "-" + e.service
}

// read is what a VirtualService says of o's calls.
func (o *object) read(vs *unstructured.Unstructured) (*written, error) {
	http, err := httpOf(vs)
	if err != nil {
		return nil, err
	}
	w := &written{generation: vs.GetGeneration()}
	revisions := map[string]bool{}
	for _, e := range o.entries {
		k, destinations, err := e.find(vs, http)
		if err != nil {
			return nil, err
		}
		var r routing
		for _, d := range destinations {
			weight, ok := number(d["weight"])
			if (!ok || weight == 0) && len(e.nodes) == 1 {
				weight = 100 // the only destination needs none
			}
			r.weights = append(r.weights, int(weight))
		}
		r.abort, r.others = e.fault(vs, http, k)
		w.routes = append(w.routes, r)
		if e.to != nil {
			revisions[vs.GetAnnotations()[WrittenAnnotation]] = true
			continue
		}
		revision, _, _ := unstructured.NestedString(http[k], "headers", "response", "set", RouteHeader)
		revisions[revision] = true
	}
	// Entries of several writings are none of them.
	w.revision = strings.Join(slices.Sorted(maps.Keys(revisions)), ",")
	return w, nil
}

// fault tells the testbed's abort in the fault rule of HTTP entry k, in percent,
// from what others have there.
func (e entry) fault(vs *unstructured.Unstructured, http []map[string]any, k int) (abort float64, others string) {
	fault, _ := http[k]["fault"].(map[string]any)
	rest := maps.Clone(fault)
	status, _, _ := unstructured.NestedFieldNoCopy(fault, "abort", "httpStatus")
	code, _ := number(status)
	ours := e.to != nil && slices.Contains(aborts(vs), e.key) ||
		e.to == nil && slices.ContainsFunc(http, func(h map[string]any) bool { return h["name"] == e.probeName() })
	if code == statusBlocked && ours {
		percentage, _, _ := unstructured.NestedFieldNoCopy(fault, "abort", "percentage", "value")
		abort, _ = number(percentage)
		delete(rest, "abort")
	}
	return abort, strings.Join(slices.Sorted(maps.Keys(rest)), ", ")
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

// write is the HTTP part of a VirtualService with the routings of o's entries in
// it and all else as it was. With probing, an entry before each lets the front's
// probes through. Of an application's entries weights and aborts alone are
// changed.
func (o *object) write(vs *unstructured.Unstructured, routes []routing, revision string, probing bool) ([]any, error) {
	http, err := httpOf(vs)
	if err != nil {
		return nil, err
	}
	probes := make([]map[string]any, len(http)) // to come before an entry
	var ours []string                           // names of probes' entries
	for n, e := range o.entries {
		r := routes[n]
		k, destinations, err := e.find(vs, http)
		if err != nil {
			return nil, err
		}
		for j, d := range destinations {
			if len(destinations) > 1 { // else it has all
				d["weight"] = int64(r.weights[j])
			}
		}
		abort, others := e.fault(vs, http, k)
		if e.to == nil {
			ours = append(ours, e.probeName())
			if err := unstructured.SetNestedField(http[k], revision, "headers", "response", "set", RouteHeader); err != nil {
				return nil, fmt.Errorf("VirtualService %s: %w", vs.GetName(), err)
			}
		} else if !probing || r.abort == 0 && abort == 0 {
			continue
		}
		foreign := slices.Contains(strings.Split(others, ", "), "abort")
		if !foreign {
			unstructured.RemoveNestedField(http[k], "fault", "abort")
			if fault, ok := http[k]["fault"].(map[string]any); ok && len(fault) == 0 {
				delete(http[k], "fault")
			}
		}
		if !probing && r.abort == 0 {
			continue
		}
		if foreign {
			return nil, lastingError{fmt.Errorf("VirtualService %s has a fault abort of another, which stays; remove it, or block at the front", vs.GetName())}
		}
		if e.to == nil {
			if probes[k], err = e.probeOf(http[k]); err != nil {
				return nil, fmt.Errorf("VirtualService %s: %w", vs.GetName(), err)
			}
		}
		if r.abort > 0 {
			err := errors.Join(
				unstructured.SetNestedField(http[k], int64(statusBlocked), "fault", "abort", "httpStatus"),
				unstructured.SetNestedField(http[k], r.abort, "fault", "abort", "percentage", "value"))
			if err != nil {
				return nil, fmt.Errorf("VirtualService %s: %w", vs.GetName(), err)
			}
		}
	}
	var out []any
	for k, h := range http {
		if name, _ := h["name"].(string); slices.Contains(ours, name) {
			continue
		}
		if probes[k] != nil {
			out = append(out, probes[k])
		}
		out = append(out, h)
	}
	return out, nil
}

// probeOf is a copy of e's HTTP entry for requests with the probes' header alone.
func (e entry) probeOf(http map[string]any) (map[string]any, error) {
	probe := (&unstructured.Unstructured{Object: http}).DeepCopy().Object
	probe["name"] = e.probeName()
	delete(probe, "fault")
	match, _, err := unstructured.NestedSlice(probe, "match")
	if len(match) == 0 {
		match = []any{map[string]any{}}
	}
	for _, m := range match {
		if m, ok := m.(map[string]any); ok {
			err = errors.Join(err, unstructured.SetNestedField(m, "1", "headers", strings.ToLower(service.ProbeHeader), "exact"))
		}
	}
	probe["match"] = match
	return probe, err
}
