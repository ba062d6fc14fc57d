// Command quickstart shows the whole way in some seconds (see package
// quickstart). It is a program of its own so that it compiles in a third of the
// time that meshbench takes, which has the clients of Kubernetes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/meshbench/meshbench/lab/quickstart"
	"github.com/meshbench/meshbench/lab/study"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := study.Root()
	if err == nil {
		err = quickstart.Run(ctx, quickstart.Config{Dir: filepath.Join(root, ".out"), Out: os.Stdout})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}
