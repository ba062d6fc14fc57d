package scenario

import (
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/internal/yamlfile"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// file is a scenario as YAML. See the built-in ones for examples, paper.yaml
// first.
type file struct {
	Name          string             `yaml:"name"`
	Title         string             `yaml:"title"`
	Nodes         []nodeFile         `yaml:"nodes"`
	Microservices []microserviceFile `yaml:"microservices"`
	Services      []serviceFile      `yaml:"services"`
	Knobs         []knobFile         `yaml:"knobs"`
	Limits        []limitFile        `yaml:"limits"`
	Objectives    []objectiveFile    `yaml:"objectives"`
	Patterns      []string           `yaml:"patterns"`
	Changes       []string           `yaml:"changes"`
	Timing        timingFile         `yaml:"timing"`
	Queue         int                `yaml:"queue"`
	Link          float64            `yaml:"link"`
	Discount      float64            `yaml:"discount"`
	Episode       int                `yaml:"episode"`
	Client        request.Client     `yaml:"client"`
	Application   Application        `yaml:"application"`
	Platform      Platform           `yaml:"platform"`
	Collect       struct {
		Steps int `yaml:"steps"`
	} `yaml:"collect"`
}

type nodeFile struct {
	Name  string  `yaml:"name"`
	Speed float64 `yaml:"speed"`
}

type microserviceFile struct {
	Name      string   `yaml:"name"`
	Nodes     []string `yaml:"nodes"`
	Time      float64  `yaml:"time"`
	Variation float64  `yaml:"variation"`
	Items     int      `yaml:"items"`
	Nested    bool     `yaml:"nested"`
}

type serviceFile struct {
	Name      string      `yaml:"name"`
	Stages    []stageFile `yaml:"stages"`
	Load      rangeFile   `yaml:"load"`
	Goal      float64     `yaml:"goal"`
	Centre    float64     `yaml:"centre"`
	Steepness float64     `yaml:"steepness"`
	Requests  request.Mix `yaml:"requests"`
}

type rangeFile struct {
	Min     float64   `yaml:"min"`
	Max     float64   `yaml:"max"`
	Values  []float64 `yaml:"values"`
	Quantum float64   `yaml:"quantum"`
}

// stageFile is the microservices of a stage: a name, or a list of names called
// in parallel.
type stageFile []string

func (s *stageFile) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = stageFile{n.Value}
		return nil
	}
	return n.Decode((*[]string)(s))
}

type knobFile struct {
	Kind    string      `yaml:"kind"`
	Service string      `yaml:"service"`
	Call    string      `yaml:"call"`
	Node    string      `yaml:"node"`
	Levels  *int        `yaml:"levels"`
	Min     float64     `yaml:"min"`
	Max     float64     `yaml:"max"`
	By      float64     `yaml:"by"`
	Points  [][]float64 `yaml:"points"`
	Step    int         `yaml:"step"`
	Up      float64     `yaml:"up"`
	Down    float64     `yaml:"down"`
	Cost    float64     `yaml:"cost"`
}

type limitFile struct {
	Kind     string   `yaml:"kind"`
	Nodes    []string `yaml:"nodes"`
	Services []string `yaml:"services"`
	Most     float64  `yaml:"most"`
}

type objectiveFile struct {
	Name     string     `yaml:"name"`
	Services []string   `yaml:"services"`
	Terms    []termFile `yaml:"terms"`
}

type termFile struct {
	Weight  *float64 `yaml:"weight"`
	Product []string `yaml:"product"`
}

type timingFile struct {
	Step   float64 `yaml:"step"`
	Settle float64 `yaml:"settle"`
}

//go:embed builtin/*.yaml
var builtin embed.FS

// List names the built-in scenarios.
func List() []string {
	entries, err := builtin.ReadDir("builtin")
	if err != nil {
		panic("scenario: " + err.Error()) // they are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Text is the file of a built-in scenario.
func Text(name string) ([]byte, error) {
	b, err := builtin.ReadFile("builtin/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("scenario: unknown scenario %q; accepted: %s, or the path of a file that ends in .yaml", name, strings.Join(List(), ", "))
	}
	return b, nil
}

// maxFile bounds a scenario file, bytes.
const maxFile = 1 << 20

// Open returns the built-in scenario of that name, or that of a file, whose name
// ends in .yaml, .yml or .json or has a slash.
func Open(name string) (Scenario, error) {
	isFile := strings.ContainsAny(name, `/\`)
	for _, ending := range []string{".yaml", ".yml", ".json"} {
		isFile = isFile || strings.HasSuffix(name, ending)
	}
	if !isFile {
		b, err := Text(name)
		if err != nil {
			return Scenario{}, err
		}
		return Parse("built-in "+name, b)
	}
	b, err := regular.ReadFile(name, maxFile)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return Parse(name, b)
}

// Problems are all that is wrong with a scenario's file.
type Problems struct {
	File string
	List []string // "line 7: what; accepted: what"
}

// Bounds of what an error shows of a file's problems.
const (
	maxProblems = 100
	maxProblem  = 1000 // runes
)

func (p *Problems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "scenario %s:", p.File)
	for k, text := range p.List {
		if k == maxProblems {
			fmt.Fprintf(&b, "\n  and %d more", len(p.List)-k)
			break
		}
		b.WriteString("\n  " + csvfile.Cut(text, maxProblem))
	}
	return b.String()
}

// Parse reads a scenario from YAML. name is the file's, for errors. Its error is
// *Problems: all that is wrong, in the order of the lines.
func Parse(name string, text []byte) (Scenario, error) {
	var f file
	var root yaml.Node
	p := &Problems{File: name}
	if err := yaml.Unmarshal(text, &root); err != nil {
		p.List = append(p.List, strings.TrimPrefix(err.Error(), "yaml: "))
		return Scenario{}, p
	}
	if p.List = unsaid(&root, text); p.List != nil {
		return Scenario{}, p // all else would follow from it
	}
	p.List = zeros(&root, "")
	p.List = append(p.List, yamlfile.Decode(text, &f, words)...)
	s, problems := f.scenario()
	problems = append(problems, f.requests(&s, name)...)
	problems = append(problems, split(s.Validate())...)
	where := lines(&root)
	wrong := map[int]bool{} // lines that cannot be read, or say something that is not accepted
	for _, text := range p.List {
		wrong[lineOf(text)] = true
	}
	broken := len(p.List) > 0
	for _, text := range problems {
		text = strings.TrimPrefix(text, "mesh: ")
		line := where.of(text)
		if line > 0 {
			text = fmt.Sprintf("line %d: %s", line, text)
		}
		// What follows from something that could not be read says nothing more.
		if broken && line == 0 || wrong[line] && line > 0 || slices.Contains(p.List, text) {
			continue
		}
		p.List = append(p.List, text)
	}
	if len(p.List) > 0 {
		slices.SortStableFunc(p.List, func(a, b string) int { return lineOf(a) - lineOf(b) })
		return s, p
	}
	return s.Defaults(), nil
}

// Unsaid stands in a file for what is to be filled in.
const Unsaid = "TODO"

// unsaid lists the values that are to be filled in, with the comment that stands
// beside them.
func unsaid(root *yaml.Node, text []byte) (list []string) {
	lines := strings.Split(string(text), "\n")
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch {
		case n.Kind == yaml.ScalarNode && n.Value == Unsaid:
			what := fmt.Sprintf("line %d: %s is to be filled in", n.Line, strings.TrimPrefix(path, "."))
			if _, comment, ok := strings.Cut(lines[n.Line-1], " # "); ok {
				what += ": " + strings.TrimSpace(comment)
			}
			list = append(list, what)
		case n.Kind == yaml.MappingNode:
			for k := 0; k+1 < len(n.Content); k += 2 {
				walk(n.Content[k+1], path+"."+n.Content[k].Value)
			}
		default:
			for k, c := range n.Content {
				at := path
				if n.Kind == yaml.SequenceNode {
					at = fmt.Sprintf("%s[%d]", path, k+1)
				}
				walk(c, at)
			}
		}
	}
	walk(root, "")
	return list
}

// words are what parts of a file are called.
var words = map[string]string{"file": "scenario", "Entry": "request"}

func lineOf(text string) int {
	var n int
	fmt.Sscanf(text, "line %d:", &n)
	if n == 0 {
		return 1 << 30
	}
	return n
}

// split lists joined errors.
func split(err error) []string {
	if err == nil {
		return nil
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var list []string
		for _, e := range all.Unwrap() {
			list = append(list, split(e)...)
		}
		return list
	}
	return []string{err.Error()}
}

// scenario turns the file into a value, and lists what cannot be.
func (f *file) scenario() (s Scenario, problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	s = Scenario{Name: f.Name, Title: f.Title, Queue: f.Queue, Link: f.Link, Timing: control.Timing(f.Timing),
		Patterns: f.Patterns, Changes: f.Changes, Discount: f.Discount, Episode: f.Episode, Collect: Collect{Steps: f.Collect.Steps}}
	for _, n := range f.Nodes {
		s.Mesh.Nodes = append(s.Mesh.Nodes, mesh.Node{Name: n.Name, Speed: n.Speed})
	}
	named := map[string]microserviceFile{}
	for _, u := range f.Microservices {
		if _, twice := named[u.Name]; twice {
			add("microservice name %q is used twice", u.Name)
		}
		if len(u.Nodes) == 0 {
			add("microservice %q has no node; it has at least one", u.Name)
		}
		if err := (Work{u.Time, u.Variation, u.Items, u.Nested}).Validate(); err != nil {
			add("microservice %q: %v", u.Name, err)
		}
		named[u.Name] = u
	}
	for _, x := range f.Services {
		svc := mesh.Service{Name: x.Name}
		for k, stage := range x.Stages {
			var calls mesh.Stage
			if len(stage) == 0 {
				add("stage %d of service %q makes no call; it makes at least one", k+1, x.Name)
			}
			for _, name := range stage {
				u, ok := named[name]
				if !ok {
					add("service %q: unknown microservice %q in stage %d; accepted: %s", x.Name, name, k+1, strings.Join(f.names(), ", "))
					continue
				}
				calls = append(calls, mesh.Call{Microservice: name, Nodes: u.Nodes})
			}
			svc.Stages = append(svc.Stages, calls)
		}
		s.Mesh.Services = append(s.Mesh.Services, svc)
		s.Loads = append(s.Loads, load.Range(x.Load))
		s.Targets = append(s.Targets, objective.Target{Goal: x.Goal, Centre: x.Centre, Steepness: x.Steepness})
	}
	if s.Mesh.Validate() == nil {
		l := s.Mesh.Layout()
		for _, name := range l.Microservices {
			u := named[name]
			s.Work = append(s.Work, Work{u.Time, u.Variation, u.Items, u.Nested})
		}
		for _, name := range f.names() {
			if !slices.Contains(l.Microservices, name) {
				add("microservice %q is called by no service", name)
			}
		}
	}
	for n, k := range f.Knobs {
		knob := mesh.Knob{Kind: mesh.Kind(k.Kind), Service: k.Service, Call: k.Call, Node: k.Node, Min: k.Min, Max: k.Max, By: k.By,
			Points: k.Points, Step: k.Step, Up: k.Up, Down: k.Down, Cost: k.Cost}
		if k.Levels != nil {
			if knob.Levels = *k.Levels; *k.Levels < 2 {
				add("knob %d: %d levels; accepted: 2 to 1001", n+1, *k.Levels)
			}
		}
		if _, err := mesh.KindOf(knob.Kind); err != nil {
			add("knob %d: %v", n+1, err)
		}
		s.Knobs = append(s.Knobs, knob)
	}
	for n, l := range f.Limits {
		if len(l.Nodes) > 0 && len(l.Services) > 0 {
			add("limit %d: nodes beside services; accepted: one of both", n+1)
		}
		s.Limits = append(s.Limits, mesh.Limit{Kind: mesh.Kind(l.Kind), Of: append(l.Nodes, l.Services...), Most: l.Most})
	}
	for _, o := range f.Objectives {
		out := objective.Objective{Name: o.Name, Services: o.Services}
		for _, t := range o.Terms {
			term := objective.Term{}
			if t.Weight != nil {
				if term.Weight = *t.Weight; *t.Weight == 0 {
					add("objective %q: a term of weight 0 counts for nothing", o.Name)
				}
			}
			for _, text := range t.Product {
				var factor objective.Factor
				if err := factor.UnmarshalText([]byte(text)); err != nil {
					add("objective %q: %v", o.Name, err)
				}
				term.Product = append(term.Product, factor)
			}
			out.Terms = append(out.Terms, term)
		}
		s.Objectives = append(s.Objectives, out)
	}
	return s, problems
}

func (f *file) names() []string {
	var names []string
	for _, u := range f.Microservices {
		names = append(names, u.Name)
	}
	return names
}

// places are the lines on which names and the entries of lists stand.
type places struct {
	named map[string]int // "service shop": line
	at    map[string]int // "knob 2": line
}

func lines(root *yaml.Node) places {
	p := places{map[string]int{}, map[string]int{}}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return p
	}
	top := root.Content[0]
	for k := 0; k+1 < len(top.Content); k += 2 {
		key, value := top.Content[k].Value, top.Content[k+1]
		p.at[key] = top.Content[k].Line
		if value.Kind != yaml.SequenceNode {
			continue
		}
		what := strings.TrimSuffix(key, "s")
		for n, entry := range value.Content {
			p.at[what+" "+strconv.Itoa(n+1)] = entry.Line
			for e := 0; e+1 < len(entry.Content); e += 2 {
				if entry.Content[e].Value == "name" {
					// Of a name that is used twice the second is shown.
					p.named[what+" "+entry.Content[e+1].Value] = entry.Line
				}
			}
		}
	}
	return p
}

var (
	quotedPart   = regexp.MustCompile(`(service|microservice|node|objective)(?: name)? "([^"]*)"`)
	numberedPart = regexp.MustCompile(`(knob|limit|service|node) (\d+)`)
	leadingKey   = regexp.MustCompile(`^(name|timing|queue|link|collect|discount|episode|patterns|changes|client|application|platform)`)
)

// of is the line that an error is about, 0 where that cannot be told.
func (p places) of(text string) int {
	if m := numberedPart.FindStringSubmatch(text); m != nil && p.at[m[1]+" "+m[2]] > 0 {
		return p.at[m[1]+" "+m[2]]
	}
	for _, m := range quotedPart.FindAllStringSubmatch(text, -1) {
		if line := p.named[m[1]+" "+m[2]]; line > 0 {
			return line
		}
	}
	return p.at[leadingKey.FindString(text)]
}
