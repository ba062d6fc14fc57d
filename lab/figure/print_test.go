package figure_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
)

// labelled is a figure with the characters that print goes wrong at.
func labelled(t *testing.T) figure.Figure {
	t.Helper()
	f, err := figure.Lines(figure.Axes{Title: "R² of 0.9, ±5 % – naïve", X: "delay (µs) ≤ 3", Y: "reward"},
		figure.Series{Name: "policy α", X: []float64{0, 1, 2}, Y: []float64{-.3, .1, .2}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tool runs a program of poppler on the figure's PDF, or skips the test.
func tool(t *testing.T, f figure.Figure, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed (poppler-utils): the PDF was not read", name)
	}
	var b bytes.Buffer
	if err := f.WritePDF(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f.pdf")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(name, append(args, path, "-")[:len(args)+map[string]int{"pdftotext": 2, "pdffonts": 1}[name]]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return string(out)
}

func TestPDFText(t *testing.T) {
	got := tool(t, labelled(t), "pdftotext", "-enc", "UTF-8")
	for _, want := range []string{"R² of 0.9, ±5 % – naïve", "delay (µs) ≤ 3", "reward", "policy α", "−0.3", "0.2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "-0.3") {
		t.Errorf("a hyphen for a minus in %q", got)
	}
}

func TestPDFFonts(t *testing.T) {
	got := tool(t, labelled(t), "pdffonts")
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 3 || !strings.Contains(lines[2], "TrueType") || !regexp.MustCompile(`yes (yes|no)\s+yes`).MatchString(lines[2]) {
		t.Errorf("fonts:\n%s\nwant one TrueType font, embedded, with a map to Unicode", got)
	}
}

func TestSameBytes(t *testing.T) {
	for name, write := range map[string]func(figure.Figure, *bytes.Buffer) error{
		"SVG": func(f figure.Figure, b *bytes.Buffer) error { _, err := f.WriteTo(b); return err },
		"PDF": func(f figure.Figure, b *bytes.Buffer) error { return f.WritePDF(b) },
		"PNG": func(f figure.Figure, b *bytes.Buffer) error { return f.WritePNG(b, 96) },
	} {
		var a, b bytes.Buffer
		if err := write(labelled(t), &a); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := write(labelled(t), &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s differs from one time to the next", name)
		}
		if bytes.Contains(a.Bytes(), []byte("CreationDate")) && !bytes.Contains(a.Bytes(), []byte("D:19700101")) {
			t.Errorf("%s has a date", name)
		}
	}
}

func TestPNG(t *testing.T) {
	var b bytes.Buffer
	if err := labelled(t).WritePNG(&b, 300); err != nil {
		t.Fatal(err)
	}
	c, err := png.DecodeConfig(&b)
	if err != nil || c.Width != 1050 { // 3.5 in
		t.Errorf("%d dots wide, %v", c.Width, err)
	}
	for _, dpi := range []int{-1, 0, 9, 1e6} {
		if err := labelled(t).WritePNG(&b, dpi); err == nil || !strings.HasPrefix(err.Error(), "figure: PNG: ") {
			t.Errorf("%d dots per inch: %v", dpi, err)
		}
	}
}

func TestSaveAs(t *testing.T) {
	dir := t.TempDir()
	if err := labelled(t).SaveAs(dir, "f", figure.Also{PNG: 96, CSV: true}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"svg", "pdf", "png"} {
		if b, err := os.ReadFile(filepath.Join(dir, "f."+kind)); err != nil || len(b) < 1000 {
			t.Errorf("%s: %d bytes, %v", kind, len(b), err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "f.csv"))
	if want := "panel,series,x,y,lo,hi\n\"R² of 0.9, ±5 % – naïve\",policy α,0,-0.3,,\n"; err != nil || !strings.HasPrefix(string(b), want) {
		t.Errorf("data %q, %v; want %q first", b, err, want)
	}
	// A diagram has no data.
	if err := figure.Framework().SaveAs(dir, "g", figure.Also{CSV: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "g.csv")); err == nil {
		t.Error("a diagram has data")
	}
	if err := (figure.Figure{}).Save(dir, "none"); err == nil {
		t.Error("the zero Figure was saved")
	}
}

// svg is a figure as text.
func svg(t *testing.T, f figure.Figure, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := f.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// texts are the texts of a figure.
func texts(svg string) (out []string) {
	for _, m := range regexp.MustCompile(`<text[^>]*>([^<]*)</text>`).FindAllStringSubmatch(svg, -1) {
		out = append(out, m[1])
	}
	return out
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func TestMissing(t *testing.T) {
	nan := math.NaN()
	f, err := figure.Lines(figure.Axes{}, figure.Series{Name: "seen", X: []float64{0, 1}, Y: []float64{1, 2}}, figure.Series{Name: "gone", X: []float64{0, 1}, Y: []float64{nan, math.Inf(1)}})
	if got := texts(svg(t, f, err)); !has(got, "seen") || !has(got, "gone (no data)") || has(got, "no data") {
		t.Errorf("texts %q", got)
	}
	f, err = figure.Lines(figure.Axes{LogY: true}, figure.Series{Name: "not above 0", X: []float64{0, 1}, Y: []float64{0, -1}})
	if got := texts(svg(t, f, err)); !has(got, "no data") || !has(got, "not above 0 (no data)") {
		t.Errorf("texts %q", got)
	}
	f, err = figure.Lines(figure.Axes{})
	if got := texts(svg(t, f, err)); !has(got, "no data") {
		t.Errorf("texts %q", got)
	}
	if _, err := figure.Panels(); err == nil {
		t.Error("no panel is drawn")
	}
}

// A line that is shorter than its width has a mark, as one of a single point; a
// longer one has none.
func TestShortLine(t *testing.T) {
	curves := func(x ...float64) int {
		t.Helper()
		f, err := figure.Lines(figure.Axes{LogX: true, LogY: true}, figure.Series{X: x, Y: []float64{5, 5.0001}[:len(x)]})
		return strings.Count(svg(t, f, err), "C")
	}
	one, short, long := curves(100), curves(100, 100.1), curves(100, 200)
	if one != short || long >= one {
		t.Errorf("curves of a point %d, of a short line %d, of a long one %d", one, short, long)
	}
}

// A negative reward is shown, whatever the mean.
func TestNegativeReward(t *testing.T) {
	r := figure.Run{NR: []float64{-3, .5, .7}, ANR: -.6}
	for range 3 {
		r.Add([]float64{5}, []float64{5}, nil)
	}
	f, err := figure.Evaluation(r)
	if got := texts(svg(t, f, err)); !has(got, "−3") || !has(got, "ANR −0.600") {
		t.Errorf("texts %q", got)
	}
}

// A name that is too long is in the SVG as a whole.
func TestLongName(t *testing.T) {
	long := strings.Repeat("a name & ", 30) + "end"
	f, err := figure.Lines(figure.Axes{}, figure.Series{Name: long, X: []float64{0, 1}, Y: []float64{1, 2}})
	s := svg(t, f, err)
	if !strings.Contains(s, "<title>"+strings.ReplaceAll(long, "&", "&amp;")+"</title>") {
		t.Error("the whole name is not in the figure")
	}
	if !regexp.MustCompile(`>a name &amp; a.*….*end</text>`).MatchString(s) {
		t.Errorf("texts %q", texts(s))
	}
}

func TestMarkdownEscapes(t *testing.T) {
	got := string(figure.Table{Header: []string{"policy", "note"}, Rows: [][]string{{"a|b", "x\ny"}, {"`c`", "-0.3"}, {"d\\", "e", "more"}, {"-"}}}.Markdown())
	want := "" +
		"| policy | note   |      |\n" +
		"|--------|--------|------|\n" +
		"| a\\|b   | x<br>y |      |\n" +
		"| \\`c\\`  | −0.3   |      |\n" +
		"| d\\\\    | e      | more |\n" +
		"| -      |        |      |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if b := (figure.Table{}).Markdown(); len(b) != 0 {
		t.Errorf("an empty table is %q", b)
	}
}

func TestCSVReadsBack(t *testing.T) {
	table := figure.Table{Header: []string{"a,b", "c"}, Rows: [][]string{{"line\nbreak", `"quoted"`}, {"|", "`"}}}
	got, err := csv.NewReader(bytes.NewReader(table.CSV())).ReadAll()
	if want := append([][]string{table.Header}, table.Rows...); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		v        float64
		decimals int
		want     string
	}{
		{math.NaN(), 3, ""}, {.9931, 3, "0.993"}, {-.3, 1, "-0.3"}, {-.0001, 2, "0.00"}, {2.5, -1, "2"}, {1e300, 3, "1e+300"}, {math.Inf(-1), 1, "-Inf"}, {12, 0, "12"},
	} {
		if got := figure.Number(tt.v, tt.decimals); got != tt.want {
			t.Errorf("%v with %d decimals: %q, want %q", tt.v, tt.decimals, got, tt.want)
		}
	}
}
