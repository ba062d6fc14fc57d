package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace/importer"
)

const importText = `import [options] FILE OUT.csv
       meshbench import -suggest [options] FILE
       meshbench import -show -preset NAME [options]

Makes a trace of the scenario of a CSV file that another program wrote, packed
by gzip or zstd or not, and audits it. A mapping says which column is what: a preset, a
YAML file, options, or a file and options over it. -suggest proposes one from
the file's header and values. Rows that cannot be used are counted and listed.`

// importing is the options of the command.
type importing struct {
	preset, file string
	over         []importer.Column
	set          map[string]float64
	entries      map[string]string
	missing      []string
	services     string
	direct       importer.Mapping // what options say directly
}

func (i *importing) register(flags *flag.FlagSet) {
	i.set, i.entries = map[string]float64{}, map[string]string{}
	flags.StringVar(&i.preset, "preset", "", "`NAME` of a mapping that is built in: "+strings.Join(importer.Presets(), ", "))
	flags.StringVar(&i.file, "mapping", "", "`FILE` of a mapping")
	flags.Func("map", "`ENTRY` of the mapping, as in its file: \"column: latency, field: d1, unit: ms\"; may be given again", func(s string) error {
		c, err := importer.ParseColumn(s)
		i.over = append(i.over, c)
		return err
	})
	flags.Func("set", "`FIELD=VALUE`, the same in all rows, for instance b1=0; may be given again", func(s string) error {
		field, text, ok := strings.Cut(s, "=")
		v, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			return errors.New("accepted: FIELD=NUMBER")
		}
		i.set[field] = v
		return nil
	})
	flags.Func("entry", "`ENTRY=SERVICE`, the service that rows of an entry are about; may be given again", func(s string) error {
		at := strings.LastIndex(s, "=")
		if at < 0 {
			return errors.New("accepted: ENTRY=SERVICE")
		}
		i.entries[s[:at]] = s[at+1:]
		return nil
	})
	flags.Func("missing", "`TEXT` of cells that stand for nothing; may be given again", func(s string) error {
		i.missing = append(i.missing, s)
		return nil
	})
	flags.StringVar(&i.services, "services", "", "`COLUMNS` that name the service of a row, separated by commas")
	flags.StringVar(&i.direct.Delimiter, "delimiter", "", "`CHARACTER` between cells, or tab (default a comma)")
	flags.StringVar(&i.direct.Decimal, "decimal", "", "decimal `SIGN`, \".\" or \",\" (default a point)")
	flags.BoolVar(&i.direct.Comments, "comments", false, "pass over lines that begin with #")
	flags.Float64Var(&i.direct.Row, "row", 0, "`SECONDS` that a row is about; 0 for the default, 5")
	flags.Float64Var(&i.direct.Step, "step", 0, "`SECONDS` of a step of the trace, a multiple of -row; 0 for the default, -row")
	for _, p := range []struct {
		at         *importer.Policy
		name, what string
	}{
		{&i.direct.Gaps, "gaps", "steps without a row: report or refuse (default report)"},
		{&i.direct.Duplicates, "duplicates", "rows of a step that is there: report or refuse (default report)"},
		{&i.direct.Back, "back", "a clock that goes back: report or refuse (default refuse)"},
		{&i.direct.Unusable, "unusable", "rows that cannot be used: report or refuse (default report)"},
	} {
		flags.StringVar((*string)(p.at), p.name, "", p.what)
	}
}

// mapping is what the options make.
func (i *importing) mapping() (m importer.Mapping, err error) {
	switch {
	case i.preset != "" && i.file != "":
		return m, errors.New("-preset and -mapping; accepted: one of them")
	case i.preset != "":
		m, err = importer.Preset(i.preset)
	case i.file != "":
		m, err = importer.Open(i.file)
	}
	if err != nil {
		return m, err
	}
	m = m.Over(i.over...)
	for field, v := range i.set {
		m = m.Fix(field, v)
	}
	for entry, service := range i.entries {
		m = m.Entry(entry, service)
	}
	if i.services != "" {
		m.Services.Columns = strings.Split(i.services, ",")
	}
	if i.missing != nil {
		m.Missing = i.missing
	}
	d := i.direct
	take(&m.Delimiter, d.Delimiter)
	take(&m.Decimal, d.Decimal)
	take(&m.Comments, d.Comments)
	take(&m.Row, d.Row)
	take(&m.Step, d.Step)
	take(&m.Gaps, d.Gaps)
	take(&m.Duplicates, d.Duplicates)
	take(&m.Back, d.Back)
	take(&m.Unusable, d.Unusable)
	if len(m.Columns) == 0 {
		return m, errors.New("no mapping; give -preset, -mapping or -map, or let -suggest propose one")
	}
	return m, m.Validate()
}

// take sets what an option says.
func take[T comparable](at *T, v T) {
	if v != *new(T) {
		*at = v
	}
}

func importCommand(_ context.Context, args []string) error {
	o := newOptions("import")
	var i importing
	i.register(o.FlagSet)
	suggest := o.Bool("suggest", false, "propose a mapping for FILE, as YAML with a reason for each column")
	show := o.Bool("show", false, "print the mapping that the options make")
	s, help, err := o.parse(args, importText)
	if help || err != nil {
		return err
	}
	want := 2
	if *suggest {
		want = 1
	} else if *show {
		want = 0
	}
	if o.NArg() != want {
		return fmt.Errorf("import: %d files named; accepted: the file to read and the one to write, with -suggest the one to read, with -show none; meshbench import -help lists the options", o.NArg())
	}
	if *suggest {
		return suggestMapping(o.Arg(0), s)
	}
	m, err := i.mapping()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if *show {
		b, err := yaml.Marshal(m)
		if err != nil {
			return err
		}
		_, err = stdout.Write(b)
		return err
	}
	space, err := s.Space()
	if err != nil {
		return err
	}
	if from, err := os.Stat(o.Arg(0)); err == nil {
		if to, err := os.Stat(o.Arg(1)); err == nil && os.SameFile(from, to) {
			return fmt.Errorf("import: %s is the file to read and the one to write", o.Arg(1))
		}
	}
	t, out, err := importer.Import(o.Arg(0), m, importer.Options{Space: space, Scenario: s.Name})
	if err != nil {
		return err
	}
	if err := t.Write(o.Arg(1)); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s", o.Arg(1), out)
	audit(t)
	return nil
}

func suggestMapping(path string, s scenario.Scenario) error {
	space, err := s.Space()
	if err != nil {
		return err
	}
	proposed, err := importer.Suggest(path, space, s.Timing.Step)
	if err != nil {
		return err
	}
	b, err := proposed.YAML()
	if err != nil {
		return err
	}
	_, err = stdout.Write(b)
	return err
}
