package importer

import (
	"math"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

// A suggestion maps a file by the names and values of its columns, says why, and
// imports the file as it is written.
func TestSuggest(t *testing.T) {
	two := paper()
	one, err := mesh.NewSpace(mesh.New(1, 2), mesh.Knob{Kind: mesh.Route}, mesh.Knob{Kind: mesh.CPU, Min: .5, Max: 2, By: .5})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		space      *mesh.Space
		want       map[string]string  // field: column
		values     map[string]float64 // of the first step
		words      []string           // of the YAML
	}{
		{"published", kthLike, two, map[string]string{"p11": "p11", "p21": "p21", "l1": "l1", "cl2": "cl2", "d22": "d22"},
			map[string]float64{"p21": .2, "d22": .101},
			[]string{"{column: p21, field: p21, unit: '%'}", "values go to 60", "1 of 2 rows have 0, in which nothing is answered"}},
		{"one service", "expected_l1,l1,p11,c1,c2,cl1,d1,d1_std,d1_99\n1,5,0,500,1000,5,.29,.001,.3\n2,11,.2,500,1000,9,.29,.001,.3\n1,4,0,500,1000,4,.28,.002,.4\n", one,
			map[string]string{"l1": "expected_l1", "lg1": "l1", "cpu1": "c1", "cpu2": "c2", "cl1": "cl1", "d1": "d1", "d1_p99": "d1_99"},
			map[string]float64{"l1": 1, "lg1": 1, "cl1": 1, "cpu1": .5, "d1_p99": .3},
			[]string{"about 5 times expected_l1: requests of a row of 5 s", "\"d1_std\" is not mapped", "thousandths of a core"}},
		{"names in place of numbers", "timestamp;service1 Latency ms;service2_latency_p95_ms;rpsService1;rps_service2;weight_service1_node1;weight_service2_node2;x\n" +
			"2026-01-31 12:00:00;20,5;-;5;6;80;20;abc\n2026-01-31 12:00:01;21,5;100,5;5;6;80;20;abc\n2026-01-31 12:00:02;21,5;100,5;5;6;80;20;abc\n2026-01-31 12:00:03;21,5;100,5;5;6;80;20;abc\n2026-01-31 12:00:04;21,5;100,5;5;6;80;20;abc\n", two,
			map[string]string{"time": "timestamp", "d1": "service1 Latency ms", "d2_p95": "service2_latency_p95_ms", "lg1": "rpsService1", "l1": "rpsService1", "p11": "weight_service1_node1", "p22": "weight_service2_node2"},
			map[string]float64{"l2": 6, "p11": .8, "p21": .8, "d1": .0213, "b1": 0},
			[]string{"delimiter: ;", "decimal: ','", "row: 1", "step: 5", "the load as it was sent stands for it", "no column looks like b1", "missing: ['-']"}},
		{"a row for each service", entriesFile, two, map[string]string{"l{i}": "max_l", "lg{i}": "l", "cl{i}": "cl", "d{i}": "d", "d{i}_p99": "d_99", "failed{i}": "drops"}, nil,
			[]string{"entries are front GET, front POST", "unit: requests/row"}},
	} {
		path := write(t, "foreign.csv", c.text)
		s, err := Suggest(path, c.space, 5)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		text, err := s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]string{}
		for _, x := range s.Mapping.Columns {
			have[x.Field] = x.Column
		}
		for field, column := range c.want {
			if have[field] != column {
				t.Errorf("%s: %s is taken from %q, want %q\n%s", c.name, field, have[field], column, text)
			}
		}
		for _, w := range c.words {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s: it does not say %q:\n%s", c.name, w, text)
			}
		}
		m, err := Parse("suggested", text)
		if err != nil {
			t.Errorf("%s: %v:\n%s", c.name, err, text)
			continue
		}
		if c.values == nil {
			continue
		}
		tab, _, err := Import(path, m, Options{Space: c.space})
		if err != nil {
			t.Errorf("%s: %v:\n%s", c.name, err, text)
			continue
		}
		for name, want := range c.values {
			if v, err := tab.Column(name); err != nil || math.Abs(v[0]-want) > 1e-9 {
				t.Errorf("%s: %s is %v, want %v; %v", c.name, name, v, want, err)
			}
		}
	}
}

// A sorted file is looked at from end to end.
func TestSuggestLooksAtAllOfAFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("l1,p11,b1,d1\n")
	for range 9000 {
		b.WriteString("5,0,0,.1\n")
	}
	for range 9000 {
		b.WriteString("5,60,0,.1\n")
	}
	s, err := Suggest(write(t, "sorted.csv", b.String()), mesh.Grid(mesh.New(1, 2), 6), 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Mapping.Columns {
		if c.Field == "p11" && c.Unit != "%" {
			t.Errorf("p11 is in %q, want %%", c.Unit)
		}
	}
}

func TestSuggestRefuses(t *testing.T) {
	for _, c := range []struct{ text, words string }{
		{"", "the file is empty"},
		{"a,b\n", "no row after the header"},
		{"\x28\xb5\x2f\xfd", "unexpected EOF"},
	} {
		path := write(t, "x.csv", c.text)
		if _, err := Suggest(path, paper(), 5); err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want %q", c.text, err, c.words)
		}
	}
}
