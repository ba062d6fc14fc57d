package quickstart

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/study"
)

// The table has every policy, no share is far above 1 or missing, and there is a
// figure.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	var out bytes.Buffer
	dir := t.TempDir()
	cfg := Config{Steps: 400, Training: .02, Loads: []mesh.Load{{10, 10}}, Truth: study.TruthConfig{Screen: 2, Refine: 20, Score: 20, Keep: 4}, Dir: dir, Out: &out}
	if err := Run(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	for name := range about {
		row := regexp.MustCompile(`(?m)^\| ` + name + ` .*$`).FindString(out.String())
		cells := strings.Split(strings.Trim(row, "| "), "|")
		if len(cells) != 5 {
			t.Fatalf("row of %s: %q\n%s", name, row, out.String())
		}
		for _, c := range cells[2:] {
			if v, err := strconv.ParseFloat(strings.TrimSpace(c), 64); err != nil || v < .05 || v > 1.3 {
				t.Errorf("%s: share %q", name, c)
			}
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "quickstart.svg"))
	if err != nil || !bytes.Contains(svg, []byte("<svg")) {
		t.Errorf("the figure: %v, %d bytes", err, len(svg))
	}
}
