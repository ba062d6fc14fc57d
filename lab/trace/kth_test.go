package trace

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kthLike has the columns of the published trace and rows that are made up.
const kthLike = `p11,p21,b1,b2,l1,l2,cl1,cl2,d11,d12,d21,d22,drop1,drop2
0.0,20.0,0.0,0.4,5.0,10.2,5.0,6.0,0.021,0.031,0.0,0.101,0.0,4.2
100.0,60.0,1.0,0.2,20.0,4.8,0.0,3.8,0.0,0.0,0.071,0.0,20.0,1.0
`

func writeKTH(t *testing.T, text string) (path string, o KTHOptions) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data_CNSM_2022.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	return path, KTHOptions{SHA256: hex.EncodeToString(sum[:])}
}

func TestImportKTH(t *testing.T) {
	path, o := writeKTH(t, kthLike)
	nan := math.NaN()
	for _, c := range []struct {
		reading KTHReading
		column  string
		want    []float64
	}{
		{AsPublished, "p11", []float64{0, 1}},
		{AsPublished, "p12", []float64{1, 0}},
		{AsPublished, "p21", []float64{.2, .6}},
		{AsPublished, "p22", []float64{.8, .4}},
		{Corrected, "p11", []float64{.2, .6}},
		{Corrected, "p21", []float64{0, 1}},
		{AsPublished, "d21", []float64{0, .071}},
		{Corrected, "d21", []float64{nan, .071}},
		{AsPublished, "d21_n", []float64{nan, nan}},
		{Corrected, "d21_n", []float64{0, nan}},
		{Corrected, "d21_p50", []float64{nan, nan}},
		{Corrected, "d2", []float64{nan, nan}},
		{Corrected, "d2_n", []float64{nan, nan}},
		{Corrected, "b2", []float64{.4, .2}},
		{Corrected, "l2", []float64{10.2, 4.8}},
		{Corrected, "lg2", []float64{10.2, 4.8}},
		{Corrected, "cl2", []float64{6, 3.8}},
		{Corrected, "blocked2", []float64{21, 5}},
		{Corrected, "failed2", []float64{nan, nan}},
	} {
		o.Reading = c.reading
		tab, err := ImportKTH(path, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tab.Column(c.column)
		if err != nil {
			t.Fatal(err)
		}
		for r := range c.want {
			if got[r] != c.want[r] && !(math.IsNaN(got[r]) && math.IsNaN(c.want[r])) {
				t.Errorf("%s: %s is %v, want %v", c.reading, c.column, got, c.want)
			}
		}
		if tab.Meta().Extra["reading"] != c.reading.String() {
			t.Errorf("head says %v, want %s", tab.Meta().Extra, c.reading)
		}
	}
}

func TestImportKTHBadFile(t *testing.T) {
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"misspelt column", strings.Replace(kthLike, "drop1", "dropp1", 1), []string{`"dropp1"`, `did you mean "drop1"`}},
		{"missing column", strings.Replace(kthLike, ",drop2", "", 1), []string{`"drop2" is missing`}},
		{"not a number", strings.Replace(kthLike, "0.071", "o.071", 1), []string{"row 2 (line 3)", "d21", `"o.071"`}},
		{"negative", strings.Replace(kthLike, "0.071", "-0.071", 1), []string{"row 2", "d21", `"-0.071"`}},
		{"percentage", strings.Replace(kthLike, "60.0", "160.0", 1), []string{"row 2", "p21", `"160.0"`, "[0, 100]"}},
		{"empty cell", strings.Replace(kthLike, "0.071", "", 1), []string{"row 2", "d21", `""`}},
		{"no row", kthLike[:strings.Index(kthLike, "\n")+1], []string{"0 rows"}},
	} {
		path, o := writeKTH(t, c.text)
		_, err := ImportKTH(path, o)
		for _, words := range append(c.words, path) {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", c.name, err, words)
			}
		}
	}
	path, o := writeKTH(t, kthLike)
	if _, err := ImportKTH(path, KTHOptions{}); err == nil || !strings.Contains(err.Error(), KTHSHA256) || !strings.Contains(err.Error(), o.SHA256) {
		t.Errorf("another hash: %v", err)
	}
	if sum, err := SHA256(path); err != nil || sum != o.SHA256 {
		t.Errorf("SHA256 is %s, %v; want %s", sum, err, o.SHA256)
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

func TestPublishedTrace(t *testing.T) {
	tab, err := ImportKTH(kthPath(t), KTHOptions{Reading: Corrected})
	if err != nil {
		t.Fatal(err)
	}
	if tab.Len() != 45_343 {
		t.Errorf("%d rows, want 45343", tab.Len())
	}
	for _, s := range tab.Summary() {
		// Zeros of the file, counted by awk.
		if want, ok := map[string]int{"d11": 8782, "d12": 8728, "d21": 8797, "d22": 8717}[s.Name]; ok && s.Missing != want {
			t.Errorf("%s is missing in %d rows, want %d", s.Name, s.Missing, want)
		}
	}
}
