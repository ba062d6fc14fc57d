// Command run runs notebooks headless, all of notebooks/ or those named, and
// fails when a cell, a shell line or a magic does. One that is unchanged since its
// last good run is not run again but with -again. With -strip it removes outputs
// from the notebooks instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/meshbench/meshbench/lab/nb/headless"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/trace/importer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	size := flag.String("size", "full", "`full`, or small for a quick test")
	strip := flag.Bool("strip", false, "remove outputs from the notebooks")
	again := flag.Bool("again", false, "run also what is unchanged")
	flag.Parse()
	if *size != "full" && *size != "small" {
		return fmt.Errorf("-size %s: it is full or small", *size)
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *strip {
		books := flag.Args()
		if len(books) == 0 {
			if books, err = filepath.Glob(filepath.Join(root, "notebooks", "*.ipynb")); err != nil {
				return err
			}
		}
		cmd := exec.CommandContext(ctx, filepath.Join(root, ".venv", "bin", "nbstripout"), books...)
		cmd.Stderr = os.Stderr
		return cmd.Run()
	}
	cfg := headless.Config{Root: root, Notebooks: flag.Args(), Small: *size == "small", Again: *again, Data: []string{"datasets/*"}}
	for _, d := range study.Drawings(scenario.Paper()) {
		if d.Long { // notebooks show these as they were drawn
			for _, dir := range []string{study.DrawnDir, study.ReferenceDir} {
				cfg.Data = append(cfg.Data, dir+"/"+d.Name+"*")
			}
		}
	}
	if _, err := importer.FindKTH(); err == nil {
		cfg.Outside = "with the published trace"
	}
	switch {
	case hasCluster():
		cfg.Live = []string{"lab/testbed/istio"}
	case !cfg.Small && flag.NArg() == 0: // it would only say so, and the clients take a minute to compile
		cfg.Skipped = map[string]string{"lab/testbed/istio": "no cluster here; make cluster-notebook"}
	}
	return headless.Run(ctx, cfg)
}

// hasCluster reports whether there may be a cluster that a notebook controls.
func hasCluster() bool {
	if os.Getenv("MESHBENCH_CLUSTER") != "" || os.Getenv("KUBECONFIG") != "" {
		return true
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(home, ".kube", "config"))
	return err == nil
}
