package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
)

const showText = `show [options] FILE

Says what a policy or a model is: its card, what is in the file and, of a policy,
what it decides. With -scenario it must be one of that scenario.`

// maxLoads bounds the loads at which two files are compared.
const maxLoads = 1_000_000

// shownLoads is the number of loads at which decisions are listed.
const shownLoads = 16

// open reads a policy or a model. It must be of the scenario where that was named,
// else a file says itself what it is for.
func (o options) open(path string, s scenario.Scenario) (artefact.File, error) {
	var space *mesh.Space
	o.Visit(func(f *flag.Flag) {
		if f.Name == "scenario" {
			space = s.MustSpace()
		}
	})
	f, err := artefact.Open(path, space)
	if space != nil {
		f.Assumed = s.Loads
	}
	return f, err
}

func showCommand(_ context.Context, args []string) error {
	o := newOptions("show")
	picture := o.String("figure", "", "`FILE`.svg, .pdf or .png of a picture: of a policy its decisions over the loads, of a model the response times")
	sc, help, err := o.parse(args, showText)
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 {
		return errors.New("show: name the file of a policy or a model")
	}
	f, err := o.open(o.Arg(0), sc)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if f.Card != nil {
		b.Write(f.Card.Markdown())
	} else {
		fmt.Fprintf(&b, "# %s\n\nIt has no card.\n", filepath.Base(f.Path))
	}
	b.WriteString("\n## What is in the file\n\n")
	b.Write(f.Facts().Markdown())
	if f.Policy != nil {
		t, err := f.Decisions(shownLoads)
		if err != nil {
			return err
		}
		b.WriteString("\n## What it decides\n\n")
		b.Write(t.Markdown())
	}
	if *picture != "" {
		if err := draw(f, *picture); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\npicture: %s\n", *picture)
	}
	_, err = b.WriteTo(stdout)
	return err
}

// dpi are dots per inch of a PNG.
const dpi = 150

// draw writes the picture of a file.
func draw(f artefact.File, path string) error {
	var write func(figure.Figure, *bytes.Buffer) error
	switch filepath.Ext(path) {
	case ".svg":
		write = func(x figure.Figure, b *bytes.Buffer) error { _, err := x.WriteTo(b); return err }
	case ".pdf":
		write = func(x figure.Figure, b *bytes.Buffer) error { return x.WritePDF(b) }
	case ".png":
		write = func(x figure.Figure, b *bytes.Buffer) error { return x.WritePNG(b, dpi) }
	default:
		return fmt.Errorf("show: -figure %s; accepted: a name that ends in .svg, .pdf or .png", path)
	}
	x, err := f.Draw()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(x, &b); err != nil {
		return err
	}
	return atomicfile.Write(path, b.Bytes())
}

const compareText = `compare [options] A B

Says how two policies, or two models, of the same mesh and knobs differ: how often
policies decide alike, how far models' predictions are apart, and what the cards
say of both, side by side.`

func compareCommand(_ context.Context, args []string) error {
	o := newOptions("compare")
	n := o.Int("n", 1000, "loads at which they are compared")
	sc, help, err := o.parse(args, compareText)
	if help || err != nil {
		return err
	}
	if o.NArg() != 2 {
		return fmt.Errorf("compare: %d files; accepted: those of two policies or two models", o.NArg())
	}
	if err := o.check(count{"n", *n, 1, maxLoads}); err != nil {
		return err
	}
	a, err := o.open(o.Arg(0), sc)
	if err != nil {
		return err
	}
	b, err := o.open(o.Arg(1), sc)
	if err != nil {
		return err
	}
	var t figure.Table
	switch {
	case a.Policy != nil && b.Policy != nil:
		g, err := artefact.Agree(a.Policy, b.Policy, *n)
		if err != nil {
			return err
		}
		t = g.Table(a.Space())
	case a.Model != nil && b.Model != nil:
		loads, err := a.Loads()
		if err != nil {
			if loads, err = b.Loads(); err != nil {
				return err
			}
		}
		list, err := artefact.Differ(a.Model, b.Model, loads, *n)
		if err != nil {
			return err
		}
		t = artefact.DifferenceTable(list)
	default:
		return errors.New("compare: one is a policy, the other a model; accepted: two of a kind")
	}
	stdout.Write(t.Markdown())
	if scores := artefact.Scores(a, b); len(scores.Rows) > 0 {
		fmt.Fprintln(stdout)
		stdout.Write(scores.Markdown())
	}
	return nil
}
