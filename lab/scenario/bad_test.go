package scenario_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/scenario"
)

const good = `name: good
nodes:
  - {name: a}
  - {name: b, speed: 2}
microservices:
  - {name: web, nodes: [a, b], time: 0.01}
services:
  - name: shop
    stages: [web]
    load: {min: 5, max: 20}
    goal: 0.1
knobs:
  - {kind: route}
  - {kind: block}
`

// What is wrong with a file is said in one list, each with its line.
func TestBadFiles(t *testing.T) {
	if _, err := scenario.Parse("good.yaml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "goal: 0.1", "gaol: 0.1", `line 11: unknown key "gaol" of a service; accepted: name, stages, load, goal`},
		{"a service without stage", "    stages: [web]\n", "", `service "shop" has no stage`},
		{"a stage without microservice", "[web]", "[[]]", `stage 1 of service "shop" makes no call`},
		{"an unknown microservice", "[web]", "[cart]", `line 8: service "shop": unknown microservice "cart" in stage 1; accepted: web`},
		{"a microservice without node", "nodes: [a, b]", "nodes: []", `line 6: microservice "web" has no node`},
		{"an unknown node", "nodes: [a, b]", "nodes: [a, c]", `unknown node "c"; the mesh has a, b`},
		{"goal of 0", "goal: 0.1", "goal: 0", "line 8: service \"shop\": goal is 0; accepted: above 0 to 100000"},
		{"goal not a number", "goal: 0.1", "goal: fast", "line 11: `fast` is not a number"},
		{"goal NaN", "goal: 0.1", "goal: .nan", "goal is NaN"},
		{"an empty range", "min: 5, max: 20", "min: 20, max: 5", `line 8: service "shop": load from 20 to 5`},
		{"a huge goal", "goal: 0.1", "goal: 1e300", "goal is 1e+300; accepted: above 0 to 100000"},
		{"a huge speed", "speed: 2", "speed: 1e300", `line 4: node "b" has speed 1e+300; accepted: above 0 to 1e+06`},
		{"a huge load", "max: 20", "max: 1e12", "load from 5 to 1e+12 requests/s; accepted: 0 <= min < max, max up to 1000000"},
		{"a start-up without end", "{kind: block}", "{kind: replicas, node: a, min: 1, max: 2, up: 1e18}", "replicas has up 1e+18; accepted: 0 to 1e+06"},
		{"an infinite range", "max: 20", "max: .inf", "load from 5 to +Inf"},
		{"negative load", "min: 5", "min: -5", "load from -5 to 20"},
		{"weights that do not sum to 1", "{kind: route}", "{kind: route, points: [[0.5, 0.2]]}", "line 13: "},
		{"an unknown knob", "{kind: route}", "{kind: rout}", `line 13: knob 1: unknown kind of knob "rout"; accepted: block, cpu, replicas, route`},
		{"one level", "{kind: block}", "{kind: block, levels: 1}", "line 14: knob 2: 1 levels; accepted: 2 to 1001"},
		{"levels of 0", "{kind: block}", "{kind: block, levels: 0}", "line 14: knob 2: 0 levels"},
		{"a knob twice", "{kind: block}", "{kind: route}", "line 14: "},
		{"a knob of nothing", "{kind: block}", "{kind: block, service: cart}", "line 14: "},
		{"two services of one name", "knobs:", "  - {name: shop, stages: [web], load: {min: 1, max: 2}, goal: 1}\nknobs:", `service name "shop" is used twice`},
		{"two nodes of one name", "{name: b, speed: 2}", "{name: a}", `node name "a" is used twice`},
		{"a negative speed", "speed: 2", "speed: -2", `line 4: node "b" has speed -2`},
		{"time of 0", "time: 0.01", "time: 0", `line 6: microservice "web": time 0 s; accepted: above`},
		{"a name with a path", "name: good", "name: ../good", `line 1: name: "../good"; accepted: at most 40 letters`},
		{"two documents", "name: good", "name: good\n---\nname: other", "more than one document"},
		{"not YAML", "nodes:", "nodes: [", "line "},
		{"an unknown quantity", "knobs:", "objectives:\n  - {name: o, terms: [{product: [speed shop]}]}\nknobs:", `unknown quantity "speed"`},
		{"an objective of nothing", "knobs:", "objectives:\n  - {name: o}\nknobs:", `objective "o": it has neither terms nor a Reward function`},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		_, err := scenario.Parse("bad.yaml", []byte(text))
		var p *scenario.Problems
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		for _, line := range p.List {
			if strings.Contains(line, "\n") || len(line) > 500 {
				t.Errorf("%s: %q is no line", c.name, line)
			}
		}
	}
}

// A 0 that would stand for a default is refused, for who writes it means 0; one
// that stands for itself is not.
func TestZeros(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"speed: 2", "speed: 0", "line 4: speed is 0, which would stand for the default; accepted: above 0; default 1"},
		{"time: 0.01", "time: 0.01, variation: 0.0", "line 6: variation is 0.0, which would stand for the default; accepted: above 0; default 0.5"},
		{"time: 0.01", "time: 0.01, items: 0", "line 6: items is 0"},
		{"goal: 0.1", "goal: 0.1\n    centre: 0", "line 12: centre is 0"},
		{"goal: 0.1", "goal: 0.1\n    requests: [{path: /, weight: 0}, {path: /b}]", "line 12: weight is 0"},
		{"knobs:", "link: 0\nknobs:", "line 12: link is 0, which would stand for the default; accepted: above 0, negative for none; default 0.005"},
		{"knobs:", "queue: 0\nknobs:", "line 12: queue is 0"},
		{"knobs:", "discount: 0\nknobs:", "line 12: discount is 0"},
		{"knobs:", "timing: {settle: 0}\nknobs:", "line 12: settle is 0"},
		{"knobs:", "client: {timeout: 0}\nknobs:", "line 12: timeout is 0"},
		{"knobs:", "collect: {steps: 0}\nknobs:", "line 12: steps is 0"},
		{"{kind: block}", "{kind: replicas, node: a, min: 1, max: 2, up: 0}", "line 14: up is 0, which would stand for the default; accepted: above 0, negative for at once; default 30"},
		{"{kind: block}", "{kind: cpu, node: a, min: 1, max: 2, up: 0, cost: 0, step: 0}", ""},
		{"min: 5", "min: 0, quantum: 0", ""},
	} {
		_, err := scenario.Parse("zero.yaml", []byte(strings.Replace(good, c.old, c.new, 1)))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}

// However much is wrong, and however long, the error has bounds.
func TestManyProblems(t *testing.T) {
	for _, text := range []string{
		strings.Replace(good, "name: good", "name: "+strings.Repeat("x", 500_000), 1),
		good + "nodes:\n" + strings.Repeat("  - {name: a a, sped: 1}\n", 10_000),
		"nodes:\n" + strings.Repeat("  - {name: a a, sped: 1}\n", 10_000),
	} {
		if _, err := scenario.Parse("bad.yaml", []byte(text)); err == nil || len(err.Error()) > 100_000 {
			t.Errorf("%.40q: an error of %d bytes", text, len(err.Error()))
		}
	}
}

// All that is wrong comes in one list, in the order of the lines.
func TestAllAtOnce(t *testing.T) {
	text := good
	for old, new := range map[string]string{"speed: 2": "speed: -2", "time: 0.01": "time: 0", "goal: 0.1": "goal: -1", "{kind: route}": "{kind: rout}", "max: 20": "max: 2", "name: good": "nmae: good"} {
		text = strings.Replace(text, old, new, 1)
	}
	_, err := scenario.Parse("bad.yaml", []byte(text))
	var p *scenario.Problems
	if !errors.As(err, &p) {
		t.Fatal(err)
	}
	last := 0
	for _, want := range []string{"line 1: ", "line 4: ", "line 6: ", "line 8: ", "line 13: "} {
		at := strings.Index(err.Error(), want)
		if at < last {
			t.Errorf("%q comes at %d in %v", want, at, err)
		}
		last = at
	}
}

// What is no file of a scenario is refused at once.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	if err := os.WriteFile(large, make([]byte, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"papre":                         `unknown scenario "papre"; accepted: autoscale, chain, graph, increments, paper, route-and-scale, three-by-three, two-pools, vertical, wide, or the path of a file`,
		filepath.Join(dir, "none.yaml"): "no such file",
		dir + "/":                       "a folder",
		"/dev/zero/":                    "not a directory",
		large:                           "2097152 bytes; accepted: at most 1048576",
		empty:                           "the file is empty",
	} {
		if _, err := scenario.Open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	for _, name := range scenario.List() {
		b, err := scenario.Text(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		s, err := scenario.Parse("fuzzed", b)
		if err != nil {
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("what was read is not valid: %v", err)
		}
	})
}

// deployed is a scenario of an application that is deployed already.
const deployed = `name: deployed
nodes: [{name: v1}, {name: v2}]
microservices:
  - {name: shop, nodes: [v1, v2], time: 0.02}
services:
  - name: shop
    stages: [shop]
    load: {min: 5, max: 20}
    goal: 0.1
    requests:
      - path: /product/{id}
        values: {id: {csv: ids.csv}}
client: {timeout: 5, redirects: 2}
application:
  nodes: {v1: "http://127.0.0.1:9001", v2: "https://shop.example/v2"}
  attribution: header
  header: X-Version
  names: {one: v1, two: v2}
`

// What is asked for, of whom, is part of a scenario; its lists come from files
// beside it, and its hash says them.
func TestDeployed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deployed.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("deployed.yaml", deployed)
	write("ids.csv", "id\n7\n8\n")
	s, err := scenario.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if list := s.Requests[0][0].Values["id"].List; !s.Deployed() || len(list) != 2 || list[1] != "8" || s.Client.Redirects != 2 || s.Application.Names["two"] != "v2" {
		t.Errorf("%+v", s)
	}
	write("ids.csv", "id\n7\n9\n")
	again, err := scenario.Open(path)
	if err != nil || again.Hash() == s.Hash() {
		t.Errorf("another list has the same hash; %v", err)
	}
	if scenario.Paper().Deployed() {
		t.Error("the paper's scenario has an application")
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"a file that is not there", "ids.csv", "none.csv", `line 6: service "shop": request 1: value "id": `},
		{"a value that is not there", "{id}", "{ID}", `line 6: service "shop": request 1: path: no value "ID"`},
		{"an unknown key of a request", "- path:", "- pth: x\n        path:", `line 11: unknown key "pth" of a request; accepted: method, path, headers, body, expect, weight, values, session, pause`},
		{"an unknown key of a value", "csv:", "cvs:", `line 12: unknown key "cvs" of a value; accepted: list, min, max, csv, column`},
		{"an unknown key of the client", "redirects", "redirect", `line 13: unknown key "redirect" of a client; accepted: timeout, redirects, fresh, idle, http, ca`},
		{"too many redirects", "redirects: 2", "redirects: 200", "line 13: client: 200 redirects"},
		{"no CA file", "redirects: 2", "ca: none.pem", "line 13: client: ca: "},
		{"a node without URL", `v1: "http://127.0.0.1:9001", `, "", `line 14: application: no URL of "v1"`},
		{"a node that is not there", "application:\n  nodes: {v1:", "application:\n  nodes: {v3: \"http://x\", v1:", `line 14: application: URL of "v3", which is no node; the mesh has v1, v2`},
		{"no URL", "https://shop.example/v2", "shop.example", `line 14: application: URL "shop.example" of "v2"`},
		{"a password in what is no URL", "https://shop.example/v2", "ftp://pat:can/ary@shop.example", `line 14: application: URL "ftp://...@shop.example" of "v2"`},
		{"no header", "  header: X-Version\n", "", "line 14: application: attribution by header; say which header"},
		{"a header for nothing", "attribution: header", "attribution: none", `a header or names, but attribution "none"`},
		{"another attribution", "attribution: header", "attribution: guess", `attribution "guess"; accepted: front, header, proxy, none`},
		{"a value of no node", "two: v2", "two: v3", `header value "two" is of "v3", which is no node`},
		{"nothing to ask for", "    requests:\n      - path: /product/{id}\n        values: {id: {csv: ids.csv}}\n", "", `application: service "shop" has no requests`},
		{"several calls", "    stages: [shop]", "    stages: [shop, cart]", `application: service "shop" makes several calls`},
	} {
		text := strings.Replace(deployed, c.old, c.new, 1)
		if c.name == "several calls" {
			text = strings.Replace(text, "\nservices:", "\n  - {name: cart, nodes: [v1], time: 0.02}\nservices:", 1)
		}
		if text == deployed {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		if _, err := scenario.Parse(path, []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
