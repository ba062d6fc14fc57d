// Command run runs notebooks headless, all of notebooks/ or those named, and
// fails when a cell, a shell line or a magic does. With -strip it removes
// outputs from the notebooks instead.
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
	"github.com/meshbench/meshbench/lab/study"
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
	return headless.Run(ctx, headless.Config{Root: root, Notebooks: flag.Args(), Small: *size == "small"})
}
