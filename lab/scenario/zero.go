package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/mesh"
)

// defaulted are the keys that are filled in where they are 0, with what else they
// may be.
var defaulted = map[string]string{
	"nodes.speed":              "above 0; default 1",
	"microservices.variation":  "above 0; default 0.5",
	"microservices.items":      "1 or more; default 1000",
	"services.centre":          "above 0; default 1.15 times the goal",
	"services.steepness":       "above 0; default 20 over the goal",
	"services.requests.weight": "above 0; default 1; a request that is not to be made is left out",
	"knobs.by":                 "above 0; default 1",
	"timing.step":              "above 0; default 5",
	"timing.settle":            "above 0, negative for none; default 0.5",
	"queue":                    "1 or more; default 16",
	"link":                     "above 0, negative for none; default 0.005",
	"discount":                 "above 0 to below 1, negative for none; default 0.95 where knobs take their time",
	"episode":                  "1 or more; default 720",
	"collect.steps":            "1 or more; default 6000",
	"client.timeout":           "above 0, negative for none; default 10",
	"client.idle":              "above 0; default 15",
	"platform.window":          "above 0; default the length of a step",
}

// zeros lists the keys that a file sets to 0, whose writer means 0 and would get
// the default.
func zeros(n *yaml.Node, path string) (list []string) {
	switch n.Kind {
	case yaml.MappingNode:
		kind := ""
		for k := 0; k+1 < len(n.Content); k += 2 {
			if n.Content[k].Value == "kind" {
				kind = n.Content[k+1].Value
			}
		}
		for k := 0; k+1 < len(n.Content); k += 2 {
			key, value := n.Content[k].Value, n.Content[k+1]
			at := strings.TrimPrefix(path+"."+key, ".")
			accepted := defaulted[at]
			if info, err := mesh.KindOf(mesh.Kind(kind)); at == "knobs.up" && err == nil && info.Up > 0 {
				accepted = fmt.Sprintf("above 0, negative for at once; default %v", info.Up)
			}
			if v, err := strconv.ParseFloat(value.Value, 64); value.Kind == yaml.ScalarNode && err == nil && v == 0 && accepted != "" {
				list = append(list, fmt.Sprintf("line %d: %s is %s, which would stand for the default; accepted: %s", value.Line, key, value.Value, accepted))
			}
			list = append(list, zeros(value, at)...)
		}
	case yaml.SequenceNode, yaml.DocumentNode:
		for _, c := range n.Content {
			list = append(list, zeros(c, path)...)
		}
	}
	return list
}
