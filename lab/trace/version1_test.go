package trace

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// versionOne is a file of format version 1 with the rows of tab.
func versionOne(t testing.TB, tab *Table) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	m := tab.Mesh()
	var lines []string
	for line := range strings.Lines(b.String()) {
		switch {
		case strings.HasPrefix(line, "# meshbench"):
			line = "# meshbench trace 1\n"
		case strings.HasPrefix(line, "# scenario:"):
			line = "# services: " + strings.Join(m.ServiceNames(), ", ") + "\n"
		case strings.HasPrefix(line, "# space:"):
			line = "# nodes: " + strings.Join(m.NodeNames(), ", ") + "\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func TestReadVersion1(t *testing.T) {
	for _, s := range []*mesh.Space{grid(2, 2), grid(3, 3), mesh.Grid(mesh.Single([]string{"video info", "maps"}, []string{"x"}), 6)} {
		want := table(t, syntheticMeta(s), synthetic(s, 40, 3))
		path := filepath.Join(t.TempDir(), "old.csv")
		if err := os.WriteFile(path, []byte(versionOne(t, want)), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, ReadOptions{Space: s})
		if err != nil {
			t.Fatal(err)
		}
		if got.Space().Len() != s.Len() || got.Meta().Scenario != "" || got.Meta().Seed != 7 || got.Meta().Extra["settle seconds"] != "0.5" {
			t.Errorf("%s: head %+v", s, got.Meta())
		}
		for r := range want.Len() {
			if diff := cmp.Diff(want.Row(r), got.Row(r), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-15, resolution*.501)); diff != "" {
				t.Fatalf("%s: row %d: %s", s, r, diff)
			}
		}
		// Written again it is of version 2.
		var b bytes.Buffer
		if _, err := got.WriteTo(&b); err != nil || !strings.HasPrefix(b.String(), "# meshbench trace 2\n# scenario:\n# space: {") {
			t.Errorf("%v, %.60q", err, b.String())
		}
	}
}

// A file of version 1 goes on in its own form.
func TestAppendToVersion1(t *testing.T) {
	meta, rows := syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 6, 1)
	path := filepath.Join(t.TempDir(), "old.csv")
	if err := os.WriteFile(path, []byte(versionOne(t, table(t, meta, rows[:3]))+"3,2026"), 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := OpenAppender(path, meta)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[a.Next():] {
		if err := a.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != versionOne(t, table(t, meta, rows)) {
		t.Errorf("the file is now\n%s", got)
	}
	for words, change := range map[string]func(m *Meta){
		"it is of service1,service2 on node1,node2; p11": func(m *Meta) { m.Space = grid(2, 3) },
		`seed is "7", not "8"`:                           func(m *Meta) { m.Seed = 8 },
	} {
		m := meta
		change(&m)
		if _, err := OpenAppender(path, m); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
}

func TestReadVersion1Errors(t *testing.T) {
	good := versionOne(t, table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 2, 1)))
	for _, c := range []struct {
		text  string
		words string
	}{
		{strings.Replace(good, "# services: service1, service2", "# services: a, a", 1), `service name "a" is used twice`},
		{strings.Replace(good, "# nodes: ", "# node: ", 1), `no entry "nodes"`},
		{strings.Replace(good, "# nodes: node1, node2", "# nodes:", 1), "empty name"},
	} {
		if _, err := decode(strings.NewReader(c.text), 0, ReadOptions{}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
}

// The default length of a step is the control loop's.
func TestDefaultStep(t *testing.T) {
	if got, want := New(Meta{Space: grid(1, 1)}).Meta().StepSeconds, (control.Timing{}).Defaults().Step; got != want {
		t.Errorf("%v s, the control loop's is %v s", got, want)
	}
}
