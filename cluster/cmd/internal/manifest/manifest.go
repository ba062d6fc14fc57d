// Package manifest writes the Kubernetes manifests of a scenario's mesh, as a
// folder for kustomize.
package manifest

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/lease/kube"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/istio"
)

//go:embed templates/*.yaml
var templates embed.FS

// scenarioFile is the scenario's own file in the folder.
const scenarioFile = "scenario.yaml"

// Write writes the manifests of a scenario, a built-in one or a file, into a
// folder, which is made if need be.
func Write(name, dir string) error {
	files, err := Files(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Files are the manifests by their files' names.
func Files(name string) (map[string][]byte, error) {
	sc, err := scenario.Open(name)
	if err != nil {
		return nil, err
	}
	text, err := scenario.Text(name)
	if err != nil { // not a built-in one
		if text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	d, err := describe(sc)
	if err == nil && !d.Application {
		err = checkNames(sc)
	}
	files := map[string][]byte{scenarioFile: text}
	if err == nil {
		d.Beside, err = beside(files, text, filepath.Dir(name))
	}
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	t, err := template.New("").Funcs(template.FuncMap{"name": scalar, "names": list, "quote": quote}).ParseFS(templates, "templates/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, t := range t.Templates() {
		if t.Name() != "kustomization.yaml" && !slices.Contains(d.Resources, t.Name()) && (t.Name() != "names.yaml" || d.Application) {
			continue
		}
		var b bytes.Buffer
		if err := t.Execute(&b, d); err != nil {
			return nil, err
		}
		files[t.Name()] = append(bytes.TrimRight(b.Bytes(), "\n"), '\n')
	}
	return files, nil
}

// maxConfigMap bounds a ConfigMap, bytes.
const maxConfigMap = 1 << 20

// beside adds the files that a scenario of folder dir names to those of its
// ConfigMap, and returns their names.
func beside(files map[string][]byte, text []byte, dir string) ([]string, error) {
	names, err := scenario.Files(text)
	if err != nil {
		return nil, err
	}
	size := len(text)
	for _, name := range names {
		if name != filepath.Base(name) || !configMapKey.MatchString(name) || name == scenarioFile {
			return nil, fmt.Errorf("file %q; accepted: one beside the scenario's, of letters, digits, -, _ and ., for a ConfigMap has no folders", name)
		}
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
		if size += len(files[name]); size > maxConfigMap {
			return nil, fmt.Errorf("%d bytes with file %q; accepted: at most %d in all, which is what a ConfigMap holds", size, name, maxConfigMap)
		}
	}
	return names, nil
}

var (
	configMapKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

	serviceName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	nodeName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
)

// checkNames lists names that objects of Kubernetes cannot have, or that others
// of the mesh have.
func checkNames(sc scenario.Scenario) error {
	var all []error
	for _, name := range sc.Mesh.Layout().Microservices {
		if !serviceName.MatchString(name) || name == "front" {
			all = append(all, fmt.Errorf("microservice %q cannot be a Service; accepted: a letter, then small letters, digits and -, at most 63, but not %q", name, "front"))
		}
	}
	for _, name := range sc.Mesh.NodeNames() {
		if !nodeName.MatchString(name) || name == "front" || name == "generator" {
			all = append(all, fmt.Errorf("node %q cannot be a Deployment; accepted: small letters, digits and -, at most 63, but not %q or %q", name, "front", "generator"))
		}
	}
	return errors.Join(all...)
}

// description is what templates take.
type description struct {
	Scenario      string
	Application   bool // that is not of this project: front and generator alone are deployed
	Namespace     string
	Resources     []string // files of them
	Beside        []string // files that the scenario needs beside it
	Front         string   // name of it, and value of its label app
	Generator     string
	Controller    string // the account
	Health        int    // port of the front's own health
	Header        string // that the front's sidecar adds
	Microservices []string
	Nodes         []node
	Objects       []object
	Rules         []rule
}

// node is a Deployment, as it is without control.
type node struct {
	Name     string
	Replicas float64
	Cores    float64
}

// object is a microservice's DestinationRule and VirtualService.
type object struct {
	Name  string
	Nodes []string
	Calls []call
}

type call struct {
	Service string
	Match   string // the service, where several call the microservice
	Routes  []route
}

type route struct {
	Node   string
	Weight int
}

// rule is one of a Role.
type rule struct {
	Group, Resource string
	Names, Verbs    []string
}

func describe(sc scenario.Scenario) (description, error) {
	l := sc.Mesh.Layout()
	d := description{Scenario: sc.Name, Microservices: l.Microservices, Namespace: "meshbench", Front: "front", Generator: "generator", Controller: "controller", Health: 8080,
		Resources: []string{"namespace.yaml", "front.yaml", "nodes.yaml", "generator.yaml", "mesh.yaml", "network.yaml", "controller.yaml"}}
	if a := sc.Defaults().Application; a.Meshed() {
		d.Application, d.Namespace, d.Header = true, a.Namespace, strings.ToLower(scenario.ProxyHeader)
		d.Front, d.Generator, d.Controller = istio.ApplicationFront, istio.ApplicationGenerator, "meshbench-controller"
		d.Health = 8090 // the other port has the application's paths
		d.Resources = []string{"front.yaml", "generator.yaml", "controller.yaml"}
		if a.Attribution == scenario.ByProxy {
			d.Resources = append(d.Resources, "proxy.yaml")
		}
	} else if sc.Deployed() {
		return d, errors.New("its application is on no mesh; say the namespace, and routes")
	}
	space, err := sc.Space()
	if err != nil {
		return d, err
	}
	start := space.Action(nil, space.Nearest(space.Default()))
	names := sc.Mesh.NodeNames()
	for j, name := range names {
		d.Nodes = append(d.Nodes, node{name, space.Value(start, mesh.Replicas, j, 1), space.Value(start, mesh.CPU, j, 1)})
	}
	for _, name := range l.Microservices {
		d.Objects = append(d.Objects, object{Name: name})
	}
	for _, at := range l.Calls {
		o := &d.Objects[at.Microservice]
		even := make([]float64, len(at.Nodes))
		for k := range even {
			even[k] = 1 / float64(len(even))
		}
		c := call{Service: sc.Mesh.Services[at.Service].Name}
		for k, percent := range istio.Percent(even) {
			name := names[at.Nodes[k]]
			c.Routes = append(c.Routes, route{name, percent})
			if !slices.Contains(o.Nodes, name) {
				o.Nodes = append(o.Nodes, name)
			}
		}
		o.Calls = append(o.Calls, c)
	}
	for k := range d.Objects {
		if calls := d.Objects[k].Calls; len(calls) > 1 {
			for c := range calls {
				calls[c].Match = calls[c].Service
			}
		}
	}
	rights, err := istio.Config{Scenario: sc}.Rights()
	d.Rules = rules(append(rights,
		// One at a time drives the mesh.
		control.Right{Group: "coordination.k8s.io", Resource: "leases", Verb: "create"},
		control.Right{Group: "coordination.k8s.io", Resource: "leases", Verb: "get", Name: kube.Name},
		control.Right{Group: "coordination.k8s.io", Resource: "leases", Verb: "update", Name: kube.Name},
		// To check what runs, and for those who forward ports.
		control.Right{Resource: "configmaps", Verb: "get", Name: "meshbench-scenario"},
		control.Right{Resource: "pods", Verb: "get"}, control.Right{Resource: "pods/portforward", Verb: "create"}))
	return d, err
}

// rules joins rights to as few rules as grant no more than them.
func rules(rights []control.Right) []rule {
	verbs := map[control.Right][]string{} // by what they are rights to
	var objects []control.Right
	for _, r := range rights {
		verb := r.Verb
		if r.Verb = ""; verbs[r] == nil {
			objects = append(objects, r)
		}
		verbs[r] = append(verbs[r], verb)
	}
	var all []rule
	for _, o := range objects {
		slices.Sort(verbs[o])
		verbs := slices.Compact(verbs[o])
		k := slices.IndexFunc(all, func(x rule) bool {
			return x.Group == o.Group && x.Resource == o.Resource && slices.Equal(x.Verbs, verbs) && (len(x.Names) > 0) == (o.Name != "")
		})
		if k < 0 {
			k = len(all)
			all = append(all, rule{Group: o.Group, Resource: o.Resource, Verbs: verbs})
		}
		if o.Name != "" {
			all[k].Names = append(all[k].Names, o.Name)
		}
	}
	slices.SortStableFunc(all, func(a, b rule) int { return -cmp.Compare(a.Group, b.Group) })
	return all
}

// scalar is a name in YAML, quoted where it would be read as something else.
func scalar(name string) string {
	var v any
	old := []string{"y", "n", "yes", "no", "on", "off"} // of YAML 1.1
	if yaml.Unmarshal([]byte(name), &v) == nil && v == any(name) && !slices.Contains(old, name) {
		return name
	}
	return quote(name)
}

func list(names []string) string {
	out := make([]string, len(names))
	for k, n := range names {
		out[k] = scalar(n)
	}
	return strings.Join(out, ", ")
}

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic("manifest: " + err.Error()) // it is a string
	}
	return string(b)
}
