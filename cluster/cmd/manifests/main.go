// Command manifests writes the Kubernetes manifests of a scenario's mesh into a
// folder, to be deployed through an overlay (see cluster/README.md).
//
//	manifests SCENARIO FOLDER
//
// The scenario is the name of a built-in one, or a file. cluster/base is what it
// writes for the paper's.
package main

import (
	"fmt"
	"os"

	"github.com/meshbench/meshbench/cluster/cmd/internal/manifest"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: manifests SCENARIO FOLDER")
		os.Exit(2)
	}
	if err := manifest.Write(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}
