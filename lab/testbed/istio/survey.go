package istio

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/meshbench/meshbench/lab/scenario"
)

// Survey reads what is deployed in cfg.Namespace and returns the text of a
// scenario of it: the Services as microservices, the versions that an HTTP entry
// without a match divides requests between as their nodes, and as the calls of a
// request the hosts that a Deployment names in its arguments or environment. What
// cannot be known, such as loads and goals, is scenario.Unsaid there. It changes
// nothing. cfg needs no scenario.
func Survey(ctx context.Context, cfg Config) ([]byte, error) {
	cfg.Patience = 30 // of a request to the API server, s
	if err := cfg.connect(); err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	s := survey{cfg: cfg, app: scenario.Application{Namespace: cfg.Namespace}}
	if err := s.read(ctx); err != nil {
		return nil, fmt.Errorf("istio: what is in namespace %s: %s", cfg.Namespace, short(err))
	}
	s.understand()
	if len(s.found) == 0 {
		return nil, fmt.Errorf("istio: namespace %s has no Service whose pods a Deployment makes; name another", cfg.Namespace)
	}
	return []byte(s.text()), nil
}

// survey is what is deployed, and what it seems to be.
type survey struct {
	cfg         Config
	app         scenario.Application
	services    []corev1.Service
	deployments []appsv1.Deployment
	routes      []unstructured.Unstructured // VirtualServices
	rules       []unstructured.Unstructured // DestinationRules
	found       []*surveyed
}

// surveyed is a Service that seems to be a microservice.
type surveyed struct {
	name   string // of the Service
	port   int
	labels labels.Selector
	route  string // VirtualService; "" for none
	http   string // name of its HTTP entry
	nodes  []surveyedNode
	calls  []string // names of others that its Deployments name
	others []string // what else there is, for people
}

type surveyedNode struct {
	name, deployment string
	to               scenario.Destination
}

func (s *survey) read(ctx context.Context) error {
	c := s.cfg
	all := metav1.ListOptions{}
	services, err := c.Kubernetes.CoreV1().Services(c.Namespace).List(ctx, all)
	if err != nil {
		return err
	}
	deployments, err := c.Kubernetes.AppsV1().Deployments(c.Namespace).List(ctx, all)
	if err != nil {
		return err
	}
	routes, err := c.Dynamic.Resource(virtualServices).Namespace(c.Namespace).List(ctx, all)
	if err != nil {
		return err
	}
	rules, err := c.Dynamic.Resource(destinationRules).Namespace(c.Namespace).List(ctx, all)
	if err != nil {
		return err
	}
	s.services, s.deployments, s.routes, s.rules = services.Items, deployments.Items, routes.Items, rules.Items
	slices.SortFunc(s.services, func(a, b corev1.Service) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.deployments, func(a, b appsv1.Deployment) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(s.routes, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return nil
}

// made are the Deployments whose pods have these labels.
func (s *survey) made(of labels.Selector) (list []appsv1.Deployment) {
	for _, d := range s.deployments {
		if app := d.Spec.Template.Labels["app"]; app != ApplicationFront && app != ApplicationGenerator && of.Matches(labels.Set(d.Spec.Template.Labels)) {
			list = append(list, d)
		}
	}
	return list
}

func (s *survey) understand() {
	for _, v := range s.services {
		if len(v.Spec.Selector) == 0 || len(v.Spec.Ports) == 0 {
			continue
		}
		x := &surveyed{name: v.Name, port: int(v.Spec.Ports[0].Port), labels: labels.SelectorFromSet(v.Spec.Selector)}
		if len(s.made(x.labels)) == 0 {
			continue
		}
		for _, p := range v.Spec.Ports { // Istio's names of protocols
			if strings.HasPrefix(p.Name, "http") || p.AppProtocol != nil && strings.HasPrefix(*p.AppProtocol, "http") {
				x.port = int(p.Port)
				break
			}
		}
		s.routed(x)
		s.found = append(s.found, x)
	}
	taken := map[string]bool{}
	for _, x := range s.found {
		for k := range x.nodes { // versions of two Services may be called alike
			if taken[x.nodes[k].name] {
				x.nodes[k].name = x.name + "-" + x.nodes[k].name
			}
			taken[x.nodes[k].name] = true
		}
		for _, d := range s.made(x.labels) {
			for _, other := range s.found {
				if other != x && !slices.Contains(x.calls, other.name) && names(&d, other.name) {
					x.calls = append(x.calls, other.name)
				}
			}
		}
	}
}

// names reports whether a Deployment's containers name a host with a port or as a
// URL.
func names(d *appsv1.Deployment, host string) bool {
	var words []string
	for _, c := range d.Spec.Template.Spec.Containers {
		words = append(append(words, c.Command...), c.Args...)
		for _, e := range c.Env {
			words = append(words, e.Value)
		}
	}
	h := regexp.QuoteMeta(host)
	return regexp.MustCompile(`(^|[/\s=,@])` + h + `(\.[a-z0-9.-]+)?:\d+|://` + h + `([./:]|$)`).MatchString(strings.Join(words, " "))
}

// routed finds the HTTP entry that divides a Service's requests, and its nodes.
func (s *survey) routed(x *surveyed) {
	host := s.app.FullHost(x.name)
	for _, vs := range s.routes {
		hosts, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
		if !slices.ContainsFunc(hosts, func(h string) bool { return s.app.FullHost(h) == host }) {
			continue
		}
		http, err := httpOf(&vs)
		if err != nil {
			continue
		}
		for k, h := range http {
			name, _ := h["name"].(string)
			list, _, _ := unstructured.NestedSlice(h, "route")
			if match, _, _ := unstructured.NestedSlice(h, "match"); len(match) > 0 || x.route != "" || len(list) < 2 {
				x.others = append(x.others, fmt.Sprintf("HTTP entry %d %q of VirtualService %s", k+1, name, vs.GetName()))
				continue
			}
			x.route, x.http = vs.GetName(), name
			for _, d := range list {
				x.nodes = append(x.nodes, s.node(x, d))
			}
		}
		if tcp, _, _ := unstructured.NestedSlice(vs.Object, "spec", "tcp"); len(tcp) > 0 {
			x.others = append(x.others, fmt.Sprintf("%d TCP entries of VirtualService %s", len(tcp), vs.GetName()))
		}
	}
	if x.route == "" {
		n := surveyedNode{name: x.name, to: scenario.Destination{Host: x.name}}
		if d := s.made(x.labels); len(d) == 1 {
			n.name, n.deployment = d[0].Name, d[0].Name
		}
		x.nodes = []surveyedNode{n}
	}
}

// node is what a destination of a Service's HTTP entry leads to.
func (s *survey) node(x *surveyed, destination any) (n surveyedNode) {
	d, _ := destination.(map[string]any)
	n.to.Host, _, _ = unstructured.NestedString(d, "destination", "host")
	n.to.Subset, _, _ = unstructured.NestedString(d, "destination", "subset")
	of := x.labels
	host, _, _ := strings.Cut(n.to.Host, ".")
	if n.name = host; n.to.Subset != "" {
		n.name = host + "-" + n.to.Subset
	}
	for _, v := range s.services {
		if s.app.FullHost(v.Name) == s.app.FullHost(n.to.Host) {
			of = labels.SelectorFromSet(v.Spec.Selector)
		}
	}
	for _, rule := range s.rules {
		host, _, _ := unstructured.NestedString(rule.Object, "spec", "host")
		if version := subsetLabels(&rule, n.to.Subset); n.to.Subset != "" && version != nil && s.app.FullHost(host) == s.app.FullHost(n.to.Host) {
			more, _ := labels.SelectorFromSet(version).Requirements()
			of = of.Add(more...)
		}
	}
	if made := s.made(of); len(made) == 1 {
		n.name, n.deployment = made[0].Name, made[0].Name
	}
	return n
}

// stages are the microservices that a request of x passes, each once.
func (s *survey) stages(x *surveyed) []string {
	list := []string{x.name}
	for k := 0; k < len(list); k++ {
		for _, y := range s.found {
			if y.name != list[k] {
				continue
			}
			for _, next := range y.calls {
				if !slices.Contains(list, next) {
					list = append(list, next)
				}
			}
		}
	}
	return list
}

// text is the scenario.
func (s *survey) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	const unsaid = scenario.Unsaid
	called := map[string]bool{}
	for _, x := range s.found {
		for _, name := range x.calls {
			called[name] = true
		}
	}
	var entries []*surveyed
	used := map[string]bool{}
	for _, x := range s.found {
		if !called[x.name] {
			entries = append(entries, x)
		}
	}
	if len(entries) == 0 { // they call each other in a circle
		entries = s.found[:1]
	}
	several := false
	for _, x := range entries {
		stages := s.stages(x)
		several = several || len(stages) > 1
		for _, name := range stages {
			used[name] = true
		}
	}
	var list []*surveyed
	for _, x := range s.found {
		if used[x.name] {
			list = append(list, x)
		}
	}
	line("# What is deployed in namespace %s. What could not be known is %s:", s.cfg.Namespace, unsaid)
	line("# meshbench scenario check names each, with its line.")
	line("name: %s", scalar(s.cfg.Namespace))
	line("nodes:")
	for _, x := range list {
		for _, n := range x.nodes {
			line("  - name: %s", scalar(n.name))
		}
	}
	line("microservices:")
	for _, x := range list {
		var nodes []string
		for _, n := range x.nodes {
			nodes = append(nodes, scalar(n.name))
		}
		line("  - {name: %s, nodes: [%s], time: %s} # for how long a request alone keeps it busy, s", scalar(x.name), strings.Join(nodes, ", "), unsaid)
	}
	line("services:")
	for _, x := range entries {
		line("  - name: %s", scalar(x.name))
		stages := s.stages(x)
		why := "no Deployment of it names another Service"
		if len(stages) > 1 {
			why = "by the hosts that Deployments name in arguments and environment; put those called in parallel into one list"
		}
		var quoted []string
		for _, name := range stages {
			quoted = append(quoted, scalar(name))
		}
		line("    stages: [%s] # %s", strings.Join(quoted, ", "), why)
		line("    load: {min: %s, max: %s} # requests/s", unsaid, unsaid)
		line("    goal: %s # of the response time, s", unsaid)
		line("    requests:")
		line("      - path: %s # what to ask for; lab/load/request says what else can be said", unsaid)
	}
	line("application:")
	line("  namespace: %s", scalar(s.cfg.Namespace))
	if several {
		line("  attribution: none # of requests that pass several microservices it is not known which nodes answered")
	} else {
		line("  attribution: proxy # the front's sidecar says where it sent a request; header, where answers name their version")
	}
	line("  routes:")
	deployments := map[string]string{}
	for _, x := range list {
		for _, o := range x.others {
			line("    # stays as it is: %s", o)
		}
		var parts []string
		add := func(key, value string) { parts = append(parts, key+": "+value) }
		if x.route != "" {
			add("virtualService", scalar(x.route))
		}
		if x.http != "" {
			add("http", scalar(x.http))
		}
		add("host", scalar(x.name))
		add("port", fmt.Sprint(x.port))
		var to []string
		for _, n := range x.nodes {
			d := "host: " + scalar(n.to.Host)
			if n.to.Subset != "" {
				d += ", subset: " + scalar(n.to.Subset)
			}
			to = append(to, fmt.Sprintf("%s: {%s}", scalar(n.name), d))
			if n.deployment != "" {
				deployments[n.name] = n.deployment
			}
		}
		add("destinations", "{"+strings.Join(to, ", ")+"}")
		line("    %s: {%s}", scalar(x.name), strings.Join(parts, ", "))
	}
	var made []string
	for _, node := range slices.Sorted(maps.Keys(deployments)) {
		made = append(made, scalar(node)+": "+scalar(deployments[node]))
	}
	if made != nil {
		line("  deployments: {%s}", strings.Join(made, ", "))
	}
	return b.String()
}

// plain are words that YAML takes for nothing else.
var plain = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`)

// scalar is a name in YAML.
func scalar(name string) string {
	if plain.MatchString(name) && !slices.Contains([]string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}, name) {
		return name
	}
	b, err := json.Marshal(name)
	if err != nil {
		panic("istio: " + err.Error()) // it is a string
	}
	return string(b)
}
