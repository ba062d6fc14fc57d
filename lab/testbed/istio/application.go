package istio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
)

// What the testbed notes in the metadata of an application's VirtualService,
// whose spec it gives nothing but weights and, where it blocks by them, aborts.
const (
	// WrittenAnnotation has which writing the weights are of.
	WrittenAnnotation = "meshbench.dev/written"
	// AbortsAnnotation lists the HTTP entries whose fault abort is the testbed's.
	AbortsAnnotation = "meshbench.dev/aborts"
)

// Deployments of this project beside an application, whose own may be called
// front, and values of the label app of their pods.
const (
	ApplicationFront     = "meshbench-front"
	ApplicationGenerator = "meshbench-generator"
)

// meshed reports whether the scenario is of an application that is not of this
// project.
func (c *Config) meshed() bool { return c.Scenario.Application.Meshed() }

// front is the label app of the front's pod, generator that of the generator's.
func (c *Config) front() string {
	if c.meshed() {
		return ApplicationFront
	}
	return frontApp
}

func (c *Config) generator() string {
	if c.meshed() {
		return ApplicationGenerator
	}
	return generatorApp
}

// deployment is the name of a node's Deployment, "" where it is not known.
func (c *Config) deployment(node string) string {
	if c.meshed() {
		return c.Scenario.Application.Deployments[node]
	}
	return c.object(node)
}

// application completes a configuration of an application that is not of this
// project.
func (c *Config) application() error {
	a := c.Scenario.Application
	switch {
	case !c.Scenario.Deployed():
		return nil
	case !a.Meshed():
		return errors.New("the scenario is of an application without a mesh; accepted: one with a namespace and routes, or testbed http")
	case c.Blocking == FaultBlocking && a.Blocking != scenario.FaultBlocks:
		return fmt.Errorf("blocking by fault, but the scenario's application says %s; accepted: what it says", a.Blocking)
	case c.TimeScale != 0 && c.TimeScale != 1:
		return fmt.Errorf("time scale %v of an application; accepted: 1", c.TimeScale)
	}
	if c.Namespace == "" {
		c.Namespace = a.Namespace
	}
	if c.Namespace != a.Namespace {
		return fmt.Errorf("namespace %s, but the application is in %s; accepted: the same", c.Namespace, a.Namespace)
	}
	if a.Blocking == scenario.FaultBlocks {
		c.Blocking = FaultBlocking
	}
	c.Faults = true // they are the application's own
	for _, k := range c.space.Knobs() {
		if k.Info.Scope == mesh.PerNode && c.deployment(c.space.Mesh().Nodes[k.Of].Name) == "" {
			return fmt.Errorf("knob %s is of a node without Deployment; name it in the application's deployments", k.Name)
		}
	}
	return nil
}

// destination is where a node is in a VirtualService.
type destination struct {
	host   string // in full; "" for any
	subset string
}

// applicationObjects are the VirtualServices of an application, with the HTTP
// entries that route calls. A call of one destination needs none, unless it is
// to be aborted.
func applicationObjects(l *mesh.Layout, a scenario.Application) []object {
	var all []object
	for c, at := range l.Calls {
		if len(at.Nodes) == 1 && a.Blocking != scenario.FaultBlocks {
			continue
		}
		r := a.Route(l, c)
		e := entry{call: c, name: l.CallName(c), key: service.CallKey(l, c), http: r.HTTP, full: a.FullHost}
		for _, j := range at.Nodes {
			node := l.Mesh.Nodes[j].Name
			d := r.Destinations[node]
			e.nodes = append(e.nodes, node)
			e.to = append(e.to, destination{a.FullHost(d.Host), d.Subset})
		}
		k := slices.IndexFunc(all, func(o object) bool { return o.name == r.VirtualService })
		if k < 0 {
			k = len(all)
			all = append(all, object{name: r.VirtualService, title: e.name})
		}
		if len(all[k].entries) > 0 {
			all[k].title = r.VirtualService
		}
		all[k].entries = append(all[k].entries, e)
	}
	return all
}

// objects are the VirtualServices of the scenario.
func (c *Config) objects() []object {
	if c.meshed() {
		return applicationObjects(c.space.Layout(), c.Scenario.Application)
	}
	return objects(c.space.Layout(), c.object)
}

// aborts are the calls whose abort the testbed wrote into an application's
// VirtualService.
func aborts(vs *unstructured.Unstructured) []string {
	return strings.Fields(vs.GetAnnotations()[AbortsAnnotation])
}

// annotations are what the testbed notes when it writes routes of o; nil removes.
func (o *object) annotations(routes []routing, revision string) map[string]any {
	var ours []string
	for k, r := range routes {
		if r.abort > 0 {
			ours = append(ours, o.entries[k].key)
		}
	}
	all := map[string]any{WrittenAnnotation: revision, AbortsAnnotation: nil}
	if ours != nil {
		all[AbortsAnnotation] = strings.Join(ours, " ")
	}
	return all
}

// writers are those, other than the testbed, who the API server says wrote HTTP
// entries of a VirtualService, the last one first. The list of entries has one
// owner at a time.
func writers(vs *unstructured.Unstructured) []string {
	fields := slices.Clone(vs.GetManagedFields())
	slices.SortStableFunc(fields, func(a, b metav1.ManagedFieldsEntry) int {
		if a.Time == nil || b.Time == nil {
			return 0
		}
		return b.Time.Compare(a.Time.Time)
	})
	var names []string
	for _, m := range fields {
		var f struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &f) != nil || f.Spec["f:http"] == nil {
			continue
		}
		if m.Manager != manager && !slices.Contains(names, m.Manager) {
			names = append(names, m.Manager)
		}
	}
	return names
}

// envoyRoute is a route as a proxy has it.
type envoyRoute struct {
	Name  string
	Route struct {
		Cluster  string
		Weighted struct {
			Clusters []struct {
				Name   string
				Weight int
			}
		} `json:"weighted_clusters"`
	}
	Metadata struct {
		Filter struct {
			Istio struct{ Config string } `json:"istio"`
		} `json:"filter_metadata"`
	}
	Typed map[string]struct {
		Abort struct {
			Percentage struct {
				Numerator   float64
				Denominator string
			}
		}
	} `json:"typed_per_filter_config"`
}

// envoyDump is Envoy's config dump of its routes.
type envoyDump struct {
	Configs []struct {
		Config struct {
			Hosts []struct{ Routes []envoyRoute } `json:"virtual_hosts"`
		} `json:"route_config"`
	}
}

// routes are those of a namespace's VirtualService.
func (d *envoyDump) routes(namespace, name string) (all []envoyRoute) {
	for _, c := range d.Configs {
		for _, h := range c.Config.Hosts {
			for _, r := range h.Routes {
				if strings.HasSuffix(r.Metadata.Filter.Istio.Config, "/namespaces/"+namespace+"/virtual-service/"+name) {
					all = append(all, r)
				}
			}
		}
	}
	return all
}

// routing is what an Envoy route does with the requests of e's call; false where
// it is not of e.
func (e *entry) routing(r *envoyRoute) (routing, bool) {
	if e.http != "" && r.Name != e.http && !strings.HasPrefix(r.Name, e.http+".") { // with the name of a match
		return routing{}, false
	}
	out := routing{weights: make([]int, len(e.nodes))}
	give := func(cluster string, weight int) bool {
		parts := strings.SplitN(cluster, "|", 4) // outbound, port, subset, host
		if len(parts) != 4 {
			return false
		}
		k := slices.Index(e.to, destination{parts[3], parts[2]})
		if k >= 0 {
			out.weights[k] = weight
		}
		return k >= 0
	}
	ours := r.Route.Cluster != "" || len(r.Route.Weighted.Clusters) > 0
	if r.Route.Cluster != "" {
		ours = give(r.Route.Cluster, 100)
	}
	for _, c := range r.Route.Weighted.Clusters {
		ours = give(c.Name, c.Weight) && ours
	}
	if p := r.Typed["envoy.filters.http.fault"].Abort.Percentage; p.Numerator > 0 {
		out.abort = p.Numerator * map[string]float64{"TEN_THOUSAND": .01, "MILLION": .0001}[p.Denominator]
		if p.Denominator == "" || p.Denominator == "HUNDRED" {
			out.abort = p.Numerator
		}
	}
	return out, ours
}

// dump asks the front for the routes of its sidecar.
func (p *plane) dump(ctx context.Context) (*envoyDump, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.control.URL+service.RoutesPath, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.control.Token)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the routes of the front's sidecar: %s", answer(resp))
	}
	d := &envoyDump{}
	const most = 256 << 20
	if err := json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(d); err != nil {
		return nil, fmt.Errorf("the routes of the front's sidecar: %w", err)
	}
	return d, nil
}

// unlike says which of o's calls the front's sidecar does not route as wanted, ""
// for none.
func (p *plane) unlike(d *envoyDump, o *object, want []routing) string {
	routes := d.routes(p.cfg.Namespace, o.name)
	for k := range o.entries {
		e, seen := &o.entries[k], false
		for n := range routes {
			have, ours := e.routing(&routes[n])
			if !ours {
				continue
			}
			if seen = true; want != nil && !have.same(want[k]) {
				return fmt.Sprintf("%s is routed %s", e.name, have)
			}
		}
		if !seen {
			return "the front's sidecar has no route of VirtualService " + o.name + " for " + e.name
		}
	}
	return ""
}

// looks is the time between two looks at the routes of the front's sidecar.
const looks = 20 * time.Millisecond

// follow waits until the front's sidecar has the weights of an application's
// VirtualService as they were last written, or for as long as the scenario says
// where it cannot be seen. Other sidecars hear of them in the same push.
func (r *route) followApplication(ctx context.Context, o *routed) error {
	p := r.p
	if s := p.cfg.Scenario.Application.Follow; s > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(o.sent.Add(time.Duration(s * 1e9)))):
			return nil
		}
	}
	for {
		d, err := p.dump(ctx)
		if err == nil {
			why := p.unlike(d, &o.object, o.have.routes)
			if why == "" {
				p.followed = append(p.followed, time.Since(o.sent).Seconds())
				return nil
			}
			err = errors.New(why)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not yet routed %s: %w", o.title, o.say(o.have.routes), err)
		case <-time.After(looks):
		}
	}
}

// lacks lists what an application has not that the scenario says, and what is
// known of its pods.
func (p *plane) lacks(ctx context.Context) (f Findings) {
	c := &p.cfg
	rules, err := c.Dynamic.Resource(destinationRules).Namespace(c.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.add("the DestinationRules cannot be listed: "+short(err), "see the permissions above")
	}
	for _, o := range c.objects() {
		vs, err := c.Dynamic.Resource(virtualServices).Namespace(c.Namespace).Get(ctx, o.name, metav1.GetOptions{})
		if err != nil {
			f.add("VirtualService "+o.name+": "+short(err), "name it in the scenario's application, routes, virtualService")
			continue
		}
		f = append(f, o.usable(vs, c)...)
		for _, owner := range vs.GetOwnerReferences() {
			if owner.Controller != nil && *owner.Controller {
				f.add(fmt.Sprintf("VirtualService %s is written by %s %s", o.name, owner.Kind, owner.Name), "see that it does so no more: two who set weights undo each other's work")
			}
		}
		for _, e := range o.entries {
			for k, to := range e.to {
				if to.subset != "" && rules != nil && !hasSubset(rules.Items, c.Scenario.Application, to) {
					f.add(fmt.Sprintf("no DestinationRule has subset %s of %s (node %s)", to.subset, to.host, e.nodes[k]), "deploy one, or name the node's destination in the scenario's application, routes")
				}
			}
		}
	}
	p.pods.nodes = map[string]labels.Selector{}
	deployments := c.Scenario.Application.Deployments
	for _, node := range slices.Sorted(maps.Keys(deployments)) {
		d, err := c.Kubernetes.AppsV1().Deployments(c.Namespace).Get(ctx, deployments[node], metav1.GetOptions{})
		if err == nil {
			p.pods.nodes[node], err = metav1.LabelSelectorAsSelector(d.Spec.Selector)
		}
		if err != nil {
			f.add("Deployment "+deployments[node]+" of node "+node+": "+short(err), "name it in the scenario's application, deployments")
		}
	}
	return f
}

// hasSubset reports whether one of the rules has a destination's subset.
func hasSubset(rules []unstructured.Unstructured, a scenario.Application, to destination) bool {
	return slices.ContainsFunc(rules, func(rule unstructured.Unstructured) bool {
		host, _, _ := unstructured.NestedString(rule.Object, "spec", "host")
		return a.FullHost(host) == to.host && subsetLabels(&rule, to.subset) != nil
	})
}

// seen lists the calls whose routes the front's sidecar has not.
func (p *plane) seen(ctx context.Context) (f Findings) {
	if p.cfg.Scenario.Application.Follow > 0 {
		return nil
	}
	const do = "see that it is exported to the namespace, and its route is not of certain clients or ports alone; or say in the scenario's application in follow how long to wait for a change"
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Follow*1e9))
	defer cancel()
	for _, o := range p.cfg.objects() {
		err := retry(ctx, func() error { // a new sidecar may take a moment to hear of it
			d, err := p.dump(ctx)
			if err != nil {
				return err
			}
			if why := p.unlike(d, &o, nil); why != "" {
				return errors.New(why)
			}
			return nil
		})
		if err != nil {
			f.add("whether a change is in force cannot be seen: "+short(err), do)
		}
	}
	return f
}

// tries asks the application for something of each service, through the front,
// and lists what does not answer as the scenario expects.
func (p *plane) tries(ctx context.Context) (f Findings) {
	c := &p.cfg
	a := c.Scenario.Application
	if c.Load != nil || c.LocalLoad != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, name := range c.Scenario.Mesh.ServiceNames() {
		results, err := p.remote.Try(ctx, i, 0, p.control.Run)
		if err != nil {
			f.add("the application cannot be asked for "+name+": "+short(err), "check the generator's log")
			continue
		}
		for _, r := range results {
			switch {
			case r.Failure != "" && r.Failure != cause.Blocked: // by what a run before left in force
				f.add(fmt.Sprintf("a first request of service %s failed: %s", name, r.Failure), "say its requests and what answers are expected in the scenario; see that the front reaches the application")
			case r.Node != "" || a.Attribution == scenario.Unknown || r.Failure != "":
			case a.Attribution == scenario.ByHeader:
				f.add(fmt.Sprintf("an answer to service %s has no header %s with the name of a node", name, a.Header), "say the header, and in names the nodes of its values; or attribution: proxy or none")
			default:
				f.add(fmt.Sprintf("the front's sidecar does not say where a request of service %s went", name), "apply the EnvoyFilter of the manifests; or attribution: none")
			}
		}
	}
	return f
}

// applicationRights are what an account needs of an application besides what the
// actuators do.
func (c *Config) applicationRights() (rights []control.Right) {
	rule := destinationRules.GroupResource()
	rights = append(rights, control.Right{Group: rule.Group, Resource: rule.Resource, Verb: "list"})
	deployments := c.Scenario.Application.Deployments
	for _, node := range slices.Sorted(maps.Keys(deployments)) {
		rights = append(rights, control.Right{Group: "apps", Resource: "deployments", Verb: "get", Name: deployments[node]})
	}
	return rights
}
