package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meshbench/meshbench/lab/study"
)

// wholeStudy is the command that runs the paper's study in the simulator, on
// the first trace and in the paper's setting: fit, three objectives by five
// seeds, evaluation, all figures and tables. It runs from nothing, the cache
// left aside: the times that it says are what a study costs.
func wholeStudy(ctx context.Context, root string) error {
	begin := time.Now()
	sources, err := study.Sources(ctx, root)
	if err != nil {
		return err
	}
	empty, err := os.MkdirTemp("", "meshbench-study-")
	if err != nil {
		return fmt.Errorf("study: %w", err)
	}
	defer os.RemoveAll(empty)
	cache, err := study.DefaultCache()
	if err != nil {
		return err
	}
	cache.Dir = empty
	r, err := runStudy(ctx, study.Config{Sources: sources[:1], Settings: []study.Setting{study.Paper()}, Cache: cache})
	if errors.Is(err, context.Canceled) {
		return errors.New("study: interrupted; nothing was kept")
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(root, ".out", "study")
	drawing := time.Now()
	if _, err := r.Draw(ctx, dir); err != nil {
		return err
	}
	r.Times = append(r.Times, study.Timing{Stage: "figures and tables, " + sources[0].Name, Seconds: time.Since(drawing).Seconds()},
		study.Timing{Stage: "whole study, " + sources[0].Name, Seconds: time.Since(begin).Seconds()})
	if err := r.WriteResults(dir); err != nil {
		return err
	}
	os.Stdout.Write(r.Table2(sources[0].Name).Markdown())
	for _, t := range r.Times {
		fmt.Printf("%6.1f s  %s\n", t.Seconds, t.Stage)
	}
	fmt.Println("figures, tables and results.json:", dir)
	return nil
}
