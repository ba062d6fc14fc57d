package code

import (
	"path/filepath"
	"slices"
	"testing"
)

// The code that a study depends on is all that it imports of the project: what a
// virtual testbed serves is part of it, drawings are not, nor is a testbed that it
// does not start itself.
func TestCodeOf(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	got, err := imported(root, []string{"lab/study"}, []string{"lab/figure"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"lab/service/item", "lab/service/split", "lab/load/stream", "lab/ppo/internal/kernel", "lab/testbed/virtual", "lab/scenario", "lab/study"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among %v", want, got)
		}
	}
	for _, no := range []string{"lab/figure", "lab/testbed/local"} {
		if slices.Contains(got, no) {
			t.Errorf("%s decides what a stage computes", no)
		}
	}
	files, err := sources(root, "lab/scenario")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(files, filepath.Join("lab", "scenario", "builtin", "paper.yaml")) {
		t.Errorf("built-in scenarios are not among %v", files)
	}
}
