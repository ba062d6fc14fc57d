package study

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// Of few rows, and of rows of which few have a delay, there are the scores that
// can be, and of the others none: no panic, and no NaN.
func TestScoresOfFewRows(t *testing.T) {
	for rows := 2; rows <= 12; rows++ {
		for rare := range 3 { // rows that have d22
			tab := fewRows(t, rows, rare)
			s := Source{Scenario: scenario.Paper(), Name: "few", Trace: tab, Forest: forest.Config{Trees: 2}}
			scores, err := Scores(context.Background(), s, 3)
			if err != nil {
				if !strings.Contains(err.Error(), "row") && !strings.Contains(err.Error(), "d22") {
					t.Errorf("%d rows, %d of them with d22: %v", rows, rare, err)
				}
				continue
			}
			for _, x := range scores {
				if v := x.NMAE + x.R2 + x.Naive; math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%d rows, %d of them with d22: %+v", rows, rare, x)
				}
			}
			if len(scores) == 0 && rows > 6 {
				t.Errorf("%d rows: no score at all", rows)
			}
		}
	}
}

// A model that cannot be learned is said with the file, how many rows there were and
// what is needed; of one row there is a model, and no score.
func TestLearnOfFewRows(t *testing.T) {
	s := Source{Scenario: scenario.Paper(), Title: "few", Trace: fewRows(t, 40, 0)}.measured()
	s.path = "few.csv"
	_, err := s.Learn(context.Background(), 0)
	if want := "few.csv: learning from "; err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), " of 40 rows: model: learn log delay of service2 on node2: no row has it; needed: 1 or more") {
		t.Errorf("%v, want it to begin with %q", err, want)
	}
	one := Source{Scenario: scenario.Paper(), Trace: fewRows(t, 1, 1), Forest: forest.Config{Trees: 2}}
	if scores, err := Scores(context.Background(), one, 2); err != nil || len(scores) != 0 {
		t.Errorf("of one row: scores %v, %v", scores, err)
	}
}

// fewRows is a part of the project's own trace, in which all but so many rows lack
// d22.
func fewRows(t *testing.T, rows, rare int) *trace.Table {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "datasets", "local.csv"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	at, n := -1, 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "#") {
			out = append(out, line)
			continue
		}
		cells := strings.Split(line, ",")
		if at < 0 {
			for k, c := range cells {
				if c == "d22" {
					at = k
				}
			}
		} else if n++; n > rare {
			cells[at] = ""
		}
		if out = append(out, strings.Join(cells, ",")); n == rows {
			break
		}
	}
	path := filepath.Join(t.TempDir(), "few.csv")
	if err := os.WriteFile(path, []byte(strings.Join(out, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tab, err := trace.Read(path, trace.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// A delay that no held-out row has leaves the others in their places: predictions and
// cross-validated scores go by the model's targets.
func TestTargetsStayInPlace(t *testing.T) {
	ctx := context.Background()
	s := Source{Scenario: scenario.Paper(), Name: "few", Trace: fewRows(t, 60, 1), Forest: forest.Config{Trees: 2}}
	held := 0
	for seed := range uint64(4) {
		train, test := s.Rows().Split(trace.Split{Seed: seed})
		m, err := s.learn(ctx, train, seed)
		if err != nil { // the only row with d22 was held out
			continue
		}
		p, err := Predicted(m, train, test)
		if err != nil {
			t.Fatal(err)
		}
		names := model.Targets(m.Space(), m.Kind())
		if len(p) != len(names) {
			t.Fatalf("%d predictions of %d targets", len(p), len(names))
		}
		for k := range p {
			if p[k].Target != names[k] {
				t.Errorf("prediction %d is of %s, want %s", k, p[k].Target, names[k])
			}
			if p[k].Measured == nil {
				held++
			}
		}
		scores, err := score(s, "row", m, train, test)
		if err != nil || len(scores) != len(names) {
			t.Errorf("%d scores of %d targets, %v", len(scores), len(names), err)
		}
	}
	if held == 0 {
		t.Error("no target was without a row: the test says nothing")
	}
}
