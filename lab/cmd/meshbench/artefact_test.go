package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// printed runs a command and returns what it prints.
func printed(t *testing.T, args ...string) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	err = run(context.Background(), args)
	w.Close()
	return <-text, err
}

// must is printed of a command that has to do.
func must(t *testing.T, args ...string) string {
	t.Helper()
	text, err := printed(t, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return text
}

// small is a trace of 300 steps, and a model and two policies of it.
func small(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "collect", "-testbed", "virtual", "-steps", "300", at("trace.csv"))
	must(t, "learn", "-trace", at("trace.csv"), "-o", at("model"))
	must(t, "train", "-model", at("model"), "-setting", "paper", "-steps", "2048", "-seed", "3", "-objective", "MO2", "-o", at("policy"))
	must(t, "train", "-trace", at("trace.csv"), "-setting", "best", "-steps", "4096", "-o", at("other.zip"))
	return dir
}

func TestArtefacts(t *testing.T) {
	dir := small(t)
	for name, test := range map[string]func(*testing.T, string){"shown": shown, "again": again, "without a card": withoutCard, "refused": refused, "exported": exported} {
		t.Run(name, func(t *testing.T) { test(t, dir) })
	}
}

// A model is learned, a policy trained, and both say what they are.
func shown(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	sum, err := trace.SHA256(at("trace.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"model":     {"# Card of a model for scenario paper", "NMAE of d11", "A real mesh", "Nodes that share a resource", "forests"},
		"policy":    {"# Card of a policy for scenario paper", "ANR of MO2", "| setting ", "A real mesh", "Nodes that share a resource", "heads [6 6 6 6]"},
		"other.zip": {"# Card of a policy for scenario paper", "ANR of MO1", "heads [1296]"},
	} {
		text := must(t, "show", at(name))
		for _, w := range append(want, sum, "that of the project, MIT") {
			if !strings.Contains(text, w) {
				t.Errorf("show %s does not say %q:\n%s", name, w, text)
			}
		}
		beside, err := os.ReadFile(card.Beside(at(name), ".md"))
		if err != nil || !strings.HasPrefix(text, string(beside)) {
			t.Errorf("the card beside %s is not the one in it; %v", name, err)
		}
	}
	policy, err := artefact.Open(at("policy"), scenario.Paper().MustSpace())
	if err != nil {
		t.Fatal(err)
	}
	if c := policy.Card; c.Seed != 3 || c.Setting != "paper" || c.ScenarioSHA256 != scenario.Paper().Hash() || !(c.Scores[0].Value > 0 && c.Scores[0].Value <= 1) {
		t.Errorf("card %+v", c)
	}

	b, err := os.ReadFile(at("policy.training.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) != 4 { // header, beginning, two updates of 1,024 steps
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for k, row := range rows[2:] {
		if row[0] != strconv.Itoa(1024*(k+1)) {
			t.Errorf("update %d after %s steps", k+1, row[0])
		}
		for c, cell := range row {
			if v, err := strconv.ParseFloat(cell, 64); err != nil || rows[0][c] == "entropy" && !(v > 0) {
				t.Errorf("update %d: %s is %q", k+1, rows[0][c], cell)
			}
		}
	}

	events, err := os.ReadFile(at("policy.training/events.out.tfevents.meshbench"))
	if err != nil || !bytes.Contains(events, []byte("train/approx_kl")) || !bytes.Contains(events, []byte("eval/score")) {
		t.Errorf("what TensorBoard reads: %d bytes, %v", len(events), err)
	}

	for _, name := range []string{"policy.svg", "policy.pdf", "policy.png"} {
		must(t, "show", "-figure", at(name), at("policy"))
		if info, err := os.Stat(at(name)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, "show", "-figure", at("model.svg"), at("model"))
}

// The same training gives the same bytes, whenever it is made.
func again(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "learn", "-trace", at("trace.csv"), "-o", at("again/model"))
	must(t, "train", "-model", at("again/model"), "-setting", "paper", "-steps", "2048", "-seed", "3", "-objective", "MO2", "-o", at("again/policy"))
	for _, name := range []string{"model", "model.md", "policy", "policy.md"} {
		a, err := os.ReadFile(at(name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(at("again/" + name))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs the second time; %v", name, err)
		}
	}
	text := must(t, "compare", at("policy"), at("again/policy"))
	if !strings.Contains(text, "| whole actions | 1.000 ") {
		t.Errorf("a policy differs from itself:\n%s", text)
	}
	text = must(t, "compare", at("policy"), at("other.zip"))
	if strings.Contains(text, "| whole actions | 1.000 ") || !strings.Contains(text, "ANR of MO1") || !strings.Contains(text, "ANR of MO2") {
		t.Errorf("two policies are compared so:\n%s", text)
	}
	must(t, "learn", "-trace", at("trace.csv"), "-joint", "-splits", "0", "-o", at("joint"))
	if text = must(t, "compare", at("model"), at("joint")); !strings.Contains(text, "| d11 ") || !strings.Contains(text, "| cl2 ") {
		t.Errorf("two models are compared so:\n%s", text)
	}
	if text = must(t, "compare", "-n", "50", at("model"), at("again/model")); !strings.Contains(text, "| 0               | 0      | 0       |") {
		t.Errorf("a model differs from itself:\n%s", text)
	}
}

// Files without a card, as older ones, are shown and used all the same.
func withoutCard(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	m, err := artefact.Open(at("model"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Model.Save(at("old model")); err != nil {
		t.Fatal(err)
	}
	p, err := artefact.Open(at("policy"), nil)
	if err != nil {
		t.Fatal(err)
	}
	delete(p.Policy.Trained().Metadata, card.Key)
	if err := p.Policy.Save(at("old policy")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old model", "old policy"} {
		if text := must(t, "show", at(name)); !strings.Contains(text, "It has no card.") || !strings.Contains(text, "p11 p12 p21 p22 b1 b2") {
			t.Errorf("show %s:\n%s", name, text)
		}
	}
	must(t, "train", "-model", at("old model"), "-setting", "paper", "-steps", "1024", "-o", at("new"))
	must(t, "compare", at("old policy"), at("policy"))
	must(t, "compare", at("old model"), at("model"))
	must(t, "compare", "-scenario", "paper", at("old model"), at("old model"))
	must(t, "show", "-scenario", "paper", "-figure", at("old.svg"), at("old model"))
	if _, err := printed(t, "compare", at("old model"), at("old model")); err == nil || !strings.Contains(err.Error(), "no card that says for which loads") {
		t.Errorf("two models without cards: %v", err)
	}
}

// A policy and a joint model are written as ONNX, whose metadata have the card.
func exported(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "learn", "-trace", at("trace.csv"), "-joint", "-splits", "0", "-o", at("trees"))
	for name, want := range map[string]string{"policy": "ANR of MO2", "trees": "TreeEnsembleRegressor"} {
		must(t, "export", at(name), "-o", at(name+".onnx"))
		b, err := os.ReadFile(at(name + ".onnx"))
		if err != nil || !bytes.Contains(b, []byte(want)) || !bytes.Contains(b, []byte(`"limits"`)) {
			t.Errorf("%s.onnx: %d bytes, %v", name, len(b), err)
		}
	}
	if _, err := printed(t, "export", "-o", at("x.onnx"), at("model")); err == nil || !strings.Contains(err.Error(), `accepted: structure "joint"`) {
		t.Errorf("export of a model per node: %v", err)
	}
	if _, err := printed(t, "export", at("model")); err == nil || !strings.Contains(err.Error(), "with -o which file to write") {
		t.Errorf("export without -o: %v", err)
	}
}

// What cannot be done is said in one line, and leaves no file.
func refused(t *testing.T, dir string) {
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, "collect", "-testbed", "virtual", "-scenario", "autoscale", "-steps", "200", at("chain.csv"))
	must(t, "learn", "-scenario", "autoscale", "-trace", at("chain.csv"), "-splits", "0", "-o", at("chain"))
	for name, text := range map[string]string{"notes.md": "mine\n", "text": "no archive\n"} {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(at("policy"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("half"), whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 1
	if err := os.WriteFile(at("changed"), whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("taken.training.csv"), 0o755); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadDir(dir)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"learn"}, "say with -o which file to write"},
		{[]string{"learn", "-o", at("x"), "y"}, `"y": only options are accepted`},
		{[]string{"learn", "-splits", "-1", "-o", at("x")}, "-splits -1; accepted: 0 to 1000"},
		{[]string{"learn", "-splits", "1000000000", "-o", at("x")}, "-splits 1000000000; accepted: 0 to 1000"},
		{[]string{"train", "-trace", at("trace.csv"), "-o", at("taken")}, "taken.training.csv is a folder; accepted: a regular file"},
		{[]string{"learn", "-trace", at("chain.csv"), "-o", at("x")}, "chain.csv"},
		{[]string{"learn", "-trace", at("none.csv"), "-o", at("x")}, "no such file"},
		{[]string{"learn", "-o", at("notes.zip")}, "notes.md, where the card goes, is another file"},
		{[]string{"train", "-trace", at("trace.csv"), "-objective", "MO9", "-o", at("x")}, "MO9"},
		{[]string{"train", "-trace", at("trace.csv"), "-setting", "good", "-o", at("x")}, `-setting "good"; accepted: best, paper`},
		{[]string{"train", "-trace", at("trace.csv"), "-steps", "-1", "-o", at("x")}, "-steps -1; accepted: 0"},
		{[]string{"train", "-model", at("policy"), "-o", at("x")}, "is a policy; accepted: a model"},
		{[]string{"train", "-model", at("chain"), "-o", at("x")}, "it is for "},
		{[]string{"train", "-model", at("model"), "-trace", at("trace.csv"), "-o", at("x")}, "beside -trace or -joint"},
		{[]string{"show"}, "name the file of a policy or a model"},
		{[]string{"show", at("none")}, "no such file"},
		{[]string{"show", at("text")}, "neither a policy nor a model"},
		{[]string{"show", at("half")}, "truncated, or neither a policy nor a model"},
		{[]string{"show", at("changed")}, "damaged or changed"},
		{[]string{"show", "-scenario", "graph", at("policy")}, "is for "},
		{[]string{"show", "-scenario", "graph", at("model")}, "it is for "},
		{[]string{"show", "-figure", at("x.gif"), at("policy")}, "accepted: a name that ends in .svg, .pdf or .png"},
		{[]string{"compare", at("policy")}, "1 files"},
		{[]string{"compare", "-n", "0", at("policy"), at("policy")}, "-n 0; accepted: 1 to 1000000"},
		{[]string{"compare", "-n", "999999999", at("policy"), at("policy")}, "-n 999999999; accepted: 1 to 1000000"},
		{[]string{"compare", at("policy"), at("model")}, "one is a policy, the other a model"},
		{[]string{"compare", at("model"), at("chain")}, "the other for "},
	} {
		if _, err := printed(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want one line with %q", c.args, err, c.want)
		}
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("files that were left: %d, before %d", len(after), len(before))
	}
}
