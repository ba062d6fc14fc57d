package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

const exportText = `export [options] FILE -o FILE.onnx

Writes a policy or a joint model as ONNX, which other languages run: of a policy all
from loads in requests/s to the values of an action, of a model its trees. The
card is in the file's metadata, under "card".`

func exportCommand(_ context.Context, args []string) error {
	o := newOptions("export")
	out := o.String("o", "", "`FILE` to write")
	sc, help, err := o.parse(args, exportText)
	if help || err != nil {
		return err
	}
	if o.NArg() != 1 || *out == "" {
		return errors.New("export: name the file of a policy or a model, and with -o which file to write")
	}
	f, err := o.open(o.Arg(0), sc)
	if err != nil {
		return err
	}
	data, err := f.ONNX()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(*out, data); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(stdout, "%s: %d bytes\n", *out, len(data))
	return nil
}
