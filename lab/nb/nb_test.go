package nb

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// capture returns what f prints outside a notebook.
func capture(t *testing.T, f func()) string {
	t.Helper()
	var b bytes.Buffer
	out = &b
	was := inNotebook
	inNotebook = false
	defer func() { out, inNotebook = io.Discard, was }()
	f()
	return b.String()
}

type svg string

func (s svg) WriteTo(w io.Writer) (int64, error) {
	if s == "" {
		return 0, errors.New("nothing to draw")
	}
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

// oneRow is a trace of one service on one node that has little in it.
func oneRow(t *testing.T) *trace.Table {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Block})
	if err != nil {
		t.Fatal(err)
	}
	table := trace.New(trace.Meta{Space: space})
	x := mesh.NewMeasurement(space.Layout())
	x.Carried[0] = 4
	if err := table.Append(trace.Row{Load: mesh.Load{5}, Action: mesh.Action{.2}, Measurement: x}); err != nil {
		t.Fatal(err)
	}
	return table
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    func()
		want string
	}{
		{"table", func() { Table([]string{"policy", "ANR"}, [][]string{{"random", "0.45"}, {"ppo", "0.99"}}) },
			"policy  ANR\nrandom  0.45\nppo     0.99\n"},
		{"markdown", func() { Markdown("**bold**") }, "**bold**\n"},
		{"figure", func() { Figure(svg("<svg/>")) }, "[figure, 6 bytes of SVG]\n"},
		{"figures side by side", func() { Figure(svg("<svg/>"), svg("<svg a/>")) }, "[figure, 6 bytes of SVG]\n[figure, 8 bytes of SVG]\n"},
		{"columns with values", func() { Columns(oneRow(t)) },
			"column  of                 min    mean   max    missing\nl1      service1           5.000  5.000  5.000  0\ncl1     service1           4.000  4.000  4.000  0\nb1      service1           0.200  0.200  0.200  0\nd1_n    service1           0.000  0.000  0.000  0\nd11_n   service1 on node1  0.000  0.000  0.000  0\n"},
		{"a trace without findings", func() { Audit(oneRow(t)) }, "The audit of 1 rows has no finding.\n"},
		{"a mesh at work", func() {
			w := NewWatch(scenario.Paper())
			w.Row(oneRow(t).Row(0))
			w.Close()
		}, ""},
		{"progress shows its last line", func() {
			report, end := Progress()
			report("fit", 1, 2)
			report("fit", 2, 2)
			end()
			end()
			report("late", 1, 1)
		}, "fit: 2 of 2, 0s\n"},
		{"a place with nothing in it", func() { NewLive().Close() }, ""},
	} {
		if got := capture(t, tt.f); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTableHTML(t *testing.T) {
	got := tableHTML([]string{"a<b"}, [][]string{{"<script>"}, {"-1.5"}})
	for _, want := range []string{"a&lt;b", "&lt;script&gt;", `text-align:right">-1.5<`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

func TestFigureError(t *testing.T) {
	if err := Figure(svg("")); err == nil || !strings.Contains(err.Error(), "nothing to draw") {
		t.Errorf("Figure: %v", err)
	}
}

func TestInline(t *testing.T) {
	if got := inline("<?xml version=\"1.0\"?>\n<svg a>"); got != "<svg a>" {
		t.Errorf("inline: %q", got)
	}
}

func TestSmall(t *testing.T) {
	t.Setenv(SizeVariable, "small")
	if !Small() {
		t.Error("Small is false with the variable set")
	}
	t.Setenv(SizeVariable, "full")
	if Small() {
		t.Error("Small is true with another value")
	}
}

func TestTableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	for _, tt := range []struct{ name, text, want, fails string }{
		{"table", "policy,ANR\n\"ppo, best\",0.99\n", "policy     ANR\nppo, best  0.99\n", ""},
		{"empty", "", "", "no header"},
		{"ragged", "a,b\n1\n", "", "wrong number of fields"},
	} {
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var err error
		got := capture(t, func() { err = TableFile(path) })
		if got != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.fails)
		}
	}
	if err := TableFile(path + "x"); err == nil {
		t.Error("a file that is not there: no error")
	}
}
