package study

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
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
