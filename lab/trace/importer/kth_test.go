package importer

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// kthLike has the columns of the published trace and rows that are made up.
const kthLike = `p11,p21,b1,b2,l1,l2,cl1,cl2,d11,d12,d21,d22,drop1,drop2
0.0,20.0,0.0,0.4,5.0,10.2,5.0,6.0,0.021,0.031,0.0,0.101,0.0,4.2
100.0,60.0,1.0,0.2,20.0,4.8,0.0,3.8,0.0,0.0,0.071,0.0,20.0,1.0
`

func paper() *mesh.Space { return mesh.Grid(mesh.New(2, 2), 6) }

func preset(t testing.TB, name string) Mapping {
	t.Helper()
	m, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// write makes a file to import.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKTH(t *testing.T) {
	path := write(t, "data_CNSM_2022.csv", kthLike)
	nan := math.NaN()
	for _, c := range []struct {
		preset string
		column string
		want   []float64
	}{
		{KTHAsPublished, "p11", []float64{0, 1}},
		{KTHAsPublished, "p12", []float64{1, 0}},
		{KTHAsPublished, "p21", []float64{.2, .6}},
		{KTHAsPublished, "p22", []float64{.8, .4}},
		{KTHCorrected, "p11", []float64{.2, .6}},
		{KTHCorrected, "p21", []float64{0, 1}},
		{KTHAsPublished, "d21", []float64{0, .071}},
		{KTHCorrected, "d21", []float64{nan, .071}},
		{KTHAsPublished, "d21_n", []float64{nan, nan}},
		{KTHCorrected, "d21_n", []float64{0, nan}},
		{KTHCorrected, "d21_p50", []float64{nan, nan}},
		{KTHCorrected, "d2", []float64{nan, nan}},
		{KTHCorrected, "d2_n", []float64{nan, nan}},
		{KTHCorrected, "b2", []float64{.4, .2}},
		{KTHCorrected, "l2", []float64{10.2, 4.8}},
		{KTHCorrected, "lg2", []float64{10.2, 4.8}},
		{KTHCorrected, "cl2", []float64{6, 3.8}},
		{KTHCorrected, "blocked2", []float64{21, 5}},
		{KTHCorrected, "failed2", []float64{nan, nan}},
	} {
		tab, out, err := Import(path, preset(t, c.preset), Options{Space: paper(), Scenario: "paper"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tab.Column(c.column)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
			t.Errorf("%s: %s is %v, want %v", c.preset, c.column, got, c.want)
		}
		if out.Ignored != nil || tab.Meta().Extra["reading"] == "" || tab.Meta().Testbed != "published" {
			t.Errorf("%s: columns %v are not mapped; head %v", c.preset, out.Ignored, tab.Meta())
		}
	}
}

func TestKTHBadFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"misspelt column", strings.Replace(kthLike, "drop1", "dropp1", 1), []string{`"drop1"`, `did you mean "dropp1"`}},
		{"missing column", strings.Replace(kthLike, ",drop2", "", 1), []string{`"drop2" is not in the file`}},
		{"not a number", strings.Replace(kthLike, "0.071", "o.071", 1), []string{"row 2 (line 3)", "d21", `"o.071"`}},
		{"negative", strings.Replace(kthLike, "0.071", "-0.071", 1), []string{"row 2", "d21", `"-0.071"`}},
		{"percentage", strings.Replace(kthLike, "60.0", "160.0", 1), []string{"row 2", "p21", `"160.0"`, "[0, 1]; the column is in %"}},
		{"empty load", strings.Replace(kthLike, "20.0,4.8", "20.0,", 1), []string{"row 2", "l2", `""`}},
		{"no row", kthLike[:strings.Index(kthLike, "\n")+1], []string{"no row after the header"}},
	} {
		path := write(t, "data_CNSM_2022.csv", c.text)
		_, _, err := Import(path, preset(t, KTHCorrected), Options{Space: paper()})
		for _, words := range append(c.words, path) {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", c.name, err, words)
			}
		}
	}
	path := write(t, "data_CNSM_2022.csv", kthLike)
	sum, err := trace.SHA256(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Import(path, preset(t, KTHCorrected), Options{Space: paper(), SHA256: KTHSHA256}); err == nil || !strings.Contains(err.Error(), KTHSHA256) || !strings.Contains(err.Error(), sum) {
		t.Errorf("another hash: %v", err)
	}
}

func TestFindKTH(t *testing.T) {
	root := t.TempDir()
	inside := filepath.Join(root, "project", "lab", "x")
	for _, dir := range []string{inside, filepath.Join(root, "shared", "kth")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KTH_TRACE", "")
	t.Chdir(inside)
	if _, err := FindKTH(); !errors.Is(err, ErrNoKTH) {
		t.Errorf("outside a module: %v", err)
	}
	os.WriteFile(filepath.Join(root, "project", "go.mod"), nil, 0o644)
	if _, err := FindKTH(); !errors.Is(err, ErrNoKTH) || !strings.Contains(err.Error(), "data_CNSM_2022.csv") {
		t.Errorf("no file: %v", err)
	}
	file := filepath.Join(root, "shared", "kth", "data_CNSM_2022.csv")
	os.WriteFile(file, nil, 0o644)
	if path, err := FindKTH(); err != nil || !sameFile(path, file) {
		t.Errorf("found %q, %v; want %q", path, err, file)
	}
	t.Setenv("KTH_TRACE", filepath.Join(root, "none.csv"))
	if _, err := FindKTH(); err == nil || errors.Is(err, ErrNoKTH) || !strings.Contains(err.Error(), "none.csv") {
		t.Errorf("KTH_TRACE that names no file: %v", err)
	}
	t.Setenv("KTH_TRACE", file)
	if path, err := FindKTH(); err != nil || path != file {
		t.Errorf("KTH_TRACE: %q, %v", path, err)
	}
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// published is the published trace as a preset reads it.
func published(t *testing.T, name string) *trace.Table {
	t.Helper()
	path, err := FindKTH()
	if errors.Is(err, ErrNoKTH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	tab, out, err := Import(path, preset(t, name), Options{Space: paper(), Scenario: "paper", SHA256: KTHSHA256})
	if err != nil {
		t.Fatal(err)
	}
	if out.Used != 45_343 || out.Steps != 45_343 || out.Unused != nil || out.Ignored != nil {
		t.Errorf("%s", out)
	}
	return tab
}

func TestPublishedTrace(t *testing.T) {
	tab := published(t, KTHCorrected)
	for _, s := range tab.Summary() {
		// Zeros of the file, counted by awk.
		if want, ok := map[string]int{"d11": 8782, "d12": 8728, "d21": 8797, "d22": 8717}[s.Name]; ok && s.Missing != want {
			t.Errorf("%s is missing in %d rows, want %d", s.Name, s.Missing, want)
		}
	}
}

// codes are the findings of an audit.
func codes(tab *trace.Table) (list []string) {
	for _, f := range trace.Audit(tab) {
		list = append(list, f.Code)
	}
	return list
}

func TestAuditOfPublishedTrace(t *testing.T) {
	for _, c := range []struct {
		preset string
		want   []string
	}{
		{KTHAsPublished, []string{trace.ZeroDelays, trace.SwappedLabels, trace.CarriedLoad, trace.NotRandom}},
		{KTHCorrected, []string{trace.CarriedLoad, trace.NotRandom}},
	} {
		tab := published(t, c.preset)
		got := codes(tab)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: findings %v, want %v", c.preset, got, c.want)
		}
		if c.preset == KTHAsPublished && len(got) == 4 {
			checkPublishedFigures(t, trace.Audit(tab))
		}
	}
}

// checkPublishedFigures compares with figures counted in the file by awk.
func checkPublishedFigures(t *testing.T, findings []trace.Finding) {
	for _, c := range []struct {
		finding int
		figure  string
		want    float64
		within  float64
	}{
		{0, "d11_zero", 8782, 0}, {0, "d12_zero", 8728, 0}, {0, "d21_zero", 8797, 0}, {0, "d22_zero", 8717, 0},
		{0, "d11_zero_by_routing", 7558, 0}, {0, "d21_zero_by_routing", 7558, 0},
		{1, "p11_zero", 7558, 0}, {1, "p11_zero_without_d21", 7558, 0}, {1, "p21_zero_without_d11", 7558, 0},
		{2, "cl1_mean", 5.9, .05}, {2, "cl1_load", 20, .1}, {2, "cl1_block", 0, 0},
		{3, "actions", 1296, 0}, {3, "cells", 20736, 0}, {3, "fewest_per_cell", 1, 0}, {3, "most_per_cell", 4, 0}, {3, "sorted", 1, 0},
	} {
		f := findings[c.finding]
		if got, ok := f.Figures[c.figure]; !ok || math.Abs(got-c.want) > c.within {
			t.Errorf("%s: %s is %v, want %v", f.Code, c.figure, got, c.want)
		}
	}
	for k, words := range []string{"7558", "p11 = 0 leaves d21 without a delay in 7558 of 7558", "mean 5.9 requests/s", "sorted by p11"} {
		if !strings.Contains(findings[k].Detail, words) {
			t.Errorf("%s does not say %q: %s", findings[k].Code, words, findings[k].Detail)
		}
	}
}
