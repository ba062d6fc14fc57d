package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// foreignText is a file of the paper's mesh as another program could write it.
const foreignText = "t;asked 1;asked 2;w1;w2;ms 1;ms 2\n0;5;6;20;40;31,5;99\n5;7;8;40;60;33;x\n10;7;8;40;60;33;101\n"

// A file is imported by options alone, by a mapping, by a mapping and options;
// the trace is one of the scenario.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	file, mapping := filepath.Join(dir, "foreign.csv"), filepath.Join(dir, "mapping.yaml")
	if err := os.WriteFile(file, []byte(foreignText), 0o644); err != nil {
		t.Fatal(err)
	}
	columns := []string{"{column: t, field: time, unit: s}", "{column: asked 1, field: l1}", "{column: asked 2, field: l2}", "{column: w1, field: p11, unit: '%'}",
		"{column: w2, field: p21, unit: '%'}", "{column: ms 1, field: d1, unit: ms}", "{column: ms 2, field: d2, unit: ms}"}
	text := "delimiter: ;\ndecimal: ','\nset: {b1: 0, b2: .2}\ncolumns:\n  - " + strings.Join(columns, "\n  - ") + "\n"
	if err := os.WriteFile(mapping, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	direct := []string{"-delimiter", ";", "-decimal", ",", "-set", "b1=0", "-set", "b2=.2"}
	for _, c := range columns {
		direct = append(direct, "-map", c)
	}
	for _, c := range []struct {
		name string
		args []string
		rows int
		b1   float64
	}{
		{"by options", direct, 2, 0},
		{"by a mapping", []string{"-mapping", mapping}, 2, 0},
		{"by both", []string{"-mapping", mapping, "-missing", "x", "-set", "b1=.4"}, 3, .4},
	} {
		out := filepath.Join(dir, "out.csv")
		if err := run(context.Background(), append(append([]string{"import"}, c.args...), file, out)); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := trace.Read(out, trace.ReadOptions{Space: scenario.Paper().MustSpace()})
		if err != nil {
			t.Fatal(err)
		}
		if got.Len() != c.rows || got.Meta().Scenario != "paper" || got.Row(0).Action[4] != c.b1 || got.Row(0).Action[5] != .2 {
			t.Errorf("%s: %d rows of scenario %q, action %v; want %d", c.name, got.Len(), got.Meta().Scenario, got.Row(0).Action, c.rows)
		}
	}
	for _, args := range [][]string{{"-suggest", file}, {"-show", "-mapping", mapping, "-step", "10"}} {
		if err := run(context.Background(), append([]string{"import"}, args...)); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	out := filepath.Join(dir, "none.csv")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no file", []string{"-mapping", mapping}, "0 files named; accepted: the file to read and the one to write"},
		{"no mapping", []string{file, out}, "no mapping; give -preset, -mapping or -map"},
		{"two mappings", []string{"-preset", "kth-2022", "-mapping", mapping, file, out}, "-preset and -mapping"},
		{"unknown preset", []string{"-preset", "kth", file, out}, `unknown preset "kth"; accepted: kth-2022,`},
		{"not that file", []string{"-preset", "kth-2022", "-delimiter", ";", file, out}, file + `: line 1: column "l1" is not in the file`},
		{"a bad entry", []string{"-map", "colum: a", file, out}, `unknown key "colum" of a column; accepted: column`},
		{"a bad value", []string{"-set", "b1", file, out}, "accepted: FIELD=NUMBER"},
		{"refused", []string{"-mapping", mapping, "-unusable", "refuse", file, out}, `row 2 (line 3): column ms 2 is "x"; accepted:`},
		{"no such policy", []string{"-mapping", mapping, "-gaps", "drop", file, out}, `gaps is "drop"; accepted: report, refuse`},
		{"a folder", []string{"-mapping", mapping, dir, out}, "is a folder; accepted: a regular file"},
		{"the same file", []string{"-mapping", mapping, file, dir + "/./foreign.csv"}, "is the file to read and the one to write"},
		{"another scenario", []string{"-scenario", "graph", "-mapping", mapping, file, out}, `unknown field "p11"`},
	} {
		err := run(context.Background(), append([]string{"import"}, c.args...))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", c.name, err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("%s: a file was written", c.name)
		}
	}
}
