package scenario

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Platform is what is measured by the platform beside the client: columns of a
// trace that Prometheus gives.
type Platform struct {
	Prometheus string   `yaml:"prometheus" json:",omitempty"` // base URL of its HTTP API
	Window     float64  `yaml:"window" json:",omitempty"`     // s that $window stands for in queries; default the length of a step, and four scrapes should fit
	Columns    []Column `yaml:"columns" json:",omitempty"`
}

// Column is a column and its query: one of PlatformQueries by name, or one's
// own.
type Column struct {
	Name string `yaml:"name"`                    // small letters, digits and _
	Of   string `yaml:"of" json:",omitempty"`    // delay, rate, cpu or throttled
	Node string `yaml:"node" json:",omitempty"`  // whose Deployment $deployment stands for
	Text string `yaml:"query" json:",omitempty"` // PromQL that gives one number, with $window, $namespace and $deployment
}

// PlatformQueries are templates of queries by what they give: of a node's pods,
// by Istio's metrics of the server's side, the mean response time in s and the
// requests/s; by cAdvisor's the cores that they use and the share of the time
// that they wait for the processor by their limit.
var PlatformQueries = map[string]string{
	"delay": `sum(rate(istio_request_duration_milliseconds_sum{reporter="destination",destination_workload_namespace="$namespace",destination_workload="$deployment"}[$window]))` +
		` / sum(rate(istio_request_duration_milliseconds_count{reporter="destination",destination_workload_namespace="$namespace",destination_workload="$deployment"}[$window])) / 1000`,
	"rate": `sum(rate(istio_requests_total{reporter="destination",destination_workload_namespace="$namespace",destination_workload="$deployment"}[$window]))`,
	"cpu":  `sum(rate(container_cpu_usage_seconds_total{namespace="$namespace",pod=~"$deployment-.*",container!="",container!="istio-proxy"}[$window]))`,
	"throttled": `sum(rate(container_cpu_cfs_throttled_periods_total{namespace="$namespace",pod=~"$deployment-.*",container!="",container!="istio-proxy"}[$window]))` +
		` / sum(rate(container_cpu_cfs_periods_total{namespace="$namespace",pod=~"$deployment-.*",container!="",container!="istio-proxy"}[$window]))`,
}

// PlatformQuery is a column's query with its values filled in.
func (s Scenario) PlatformQuery(c Column) string {
	text := c.Text
	if c.Of != "" {
		text = PlatformQueries[c.Of]
	}
	window := s.Platform.Window
	if window == 0 {
		window = s.Timing.Defaults().Step
	}
	deployment := s.Application.Deployments[c.Node]
	if deployment == "" {
		deployment = c.Node
	}
	namespace := s.Application.Namespace
	if namespace == "" {
		namespace = "meshbench"
	}
	return strings.NewReplacer("$window", fmt.Sprintf("%.0fms", 1e3*window), "$namespace", namespace, "$deployment", regexp.QuoteMeta(deployment)).Replace(text)
}

var columnName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (p Platform) validate(nodes []string) (all []error) {
	add := func(format string, args ...any) { all = append(all, fmt.Errorf("platform: "+format, args...)) }
	if p.Prometheus == "" && len(p.Columns) == 0 && p.Window == 0 {
		return nil
	}
	if u, err := url.Parse(p.Prometheus); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		add("prometheus %q; accepted: a URL such as http://prometheus.istio-system:9090", ShownURL(p.Prometheus))
	}
	if !(p.Window >= 0 && p.Window <= 86400) {
		add("window %v s; accepted: above 0, up to 86400", p.Window)
	}
	if len(p.Columns) == 0 {
		add("no columns to measure")
	}
	seen := map[string]bool{}
	for _, c := range p.Columns {
		if !columnName.MatchString(c.Name) || seen[c.Name] {
			add("column %q; accepted: small letters, digits and _, a letter first, each once", c.Name)
		}
		seen[c.Name] = true
		text := c.Text
		if c.Of != "" {
			text += PlatformQueries[c.Of]
		}
		switch {
		case c.Of != "" && PlatformQueries[c.Of] == "":
			add("column %s of %q; accepted: %s", c.Name, c.Of, strings.Join(slices.Sorted(maps.Keys(PlatformQueries)), ", "))
		case (c.Of == "") == (c.Text == ""):
			add("column %s; accepted: a query, or of what it is, one of both", c.Name)
		case c.Node == "" && strings.Contains(text, "$deployment"):
			add("column %s is of no node; say which", c.Name)
		}
		if c.Node != "" && !slices.Contains(nodes, c.Node) {
			add("column %s is of node %q; accepted: %s", c.Name, c.Node, strings.Join(nodes, ", "))
		}
	}
	return all
}
