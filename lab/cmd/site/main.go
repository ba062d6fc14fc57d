// Command site builds the project's static site into .out/site, from what was run
// and drawn last.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/site"
	"github.com/meshbench/meshbench/lab/study"
)

func main() {
	root, err := study.Root()
	if err == nil {
		var pages int
		if pages, err = site.Build(site.Config{Root: root}); err == nil {
			fmt.Printf("%s: %d pages\n", filepath.Join(root, ".out", "site", "index.html"), pages)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
