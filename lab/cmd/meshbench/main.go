// Command meshbench runs the workbench from a shell: scenarios, traces, studies,
// figures and tables. Notebooks call the same packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/quickstart"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// command is one of the program's.
type command struct {
	name, args, what string
	run              func(ctx context.Context, args []string) error
}

func commands() []command {
	return []command{
		{"quickstart", "", "the whole way in some seconds: trace, model, policies, and what they get of the true optimum; figure in .out/", quickstartCommand},
		{"scenario", "list|show|check [NAME|FILE], from-cluster -n NAMESPACE", "the built-in scenarios; the text of one; all that is wrong with a file, and how large its problem is; a scenario of what is deployed", scenarioCommand},
		{"figure", "all|NAME...", "run the study where it is not cached, and write its figures, tables and results.json into .out/figures/ or the folder of -o, of a scenario other than paper into one of its own there", figureCommand},
		{"study", "", "run the study in the simulator from nothing, leaving the cache aside, into .out/study, with the time of each stage", studyCommand},
		{"kth", "FILE", "audit the published trace and run the study on it", kthCommand},
		{"collect", "FILE", "collect a trace on a testbed, or go on with it", collect},
		{"import", "FILE OUT", "make a trace of a CSV file that another program wrote, by a preset, a mapping or options; -suggest proposes a mapping", importCommand},
		{"front", "", "run the front of an application that is deployed: it routes and blocks", frontCommand},
		{"audit", "FILE", "audit a trace", auditCommand},
		{"learn", "-o FILE", "learn the system model of a trace, and write it with its card", learnCommand},
		{"train", "-o FILE", "train a policy on a model, and write it with its card and the course of the training", trainCommand},
		{"show", "FILE", "say what a policy or a model is, and what it decides; -figure draws it", showCommand},
		{"compare", "A B", "say how two policies or two models differ", compareCommand},
		{"export", "FILE -o FILE.onnx", "write a policy or a joint model as ONNX", exportCommand},
		{"run", "POLICY", "drive a mesh by a policy, with a guard that falls back on a rule, a status page, and a lease", runCommand},
		{"sweep", "FILE", "train many policies, here or on a cluster, and say which setting is best", sweepCommand},
		{"gym", "", "serve the simulator to Python as a Gymnasium environment (lab/gym)", gymCommand},
		{"evaluate", "", "evaluate policies on a testbed beside the baselines", evaluate},
		{"changes", "", "let changes happen to a mesh under a learned policy, and say how soon each way of adapting makes up for them", changes},
		{"bench", "FOLDER", "measure beside the peers, which make bench puts into FOLDER, into .out/figures/bench.json and bench-size.json", benchCommand},
	}
}

func usage() string {
	var b strings.Builder
	b.WriteString("usage: meshbench [-cpuprofile FILE] COMMAND [options] ...\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %s\n%s\n", strings.TrimSpace(c.name+" "+c.args), indent(c.what))
	}
	b.WriteString("\nEvery command but quickstart takes -scenario NAME|FILE, default paper; COMMAND -help lists its options.\nFigures and tables of the paper's scenario:\n\n")
	for _, d := range study.Drawings(scenario.Paper()) {
		long := ""
		if d.Long {
			long = " (minutes: only when named)"
		}
		fmt.Fprintf(&b, "  %-14s %s%s\n", d.Name, d.Title, long)
	}
	return b.String()
}

// indent wraps a text to lines below a command's name.
func indent(text string) string {
	var lines []string
	line := "     "
	for _, w := range strings.Fields(text) {
		if len(line)+1+len(w) > 78 {
			lines, line = append(lines, line), "     "
		}
		line += " " + w
	}
	return strings.Join(append(lines, line), "\n")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what does not look at the context
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "meshbench:", bounded(err))
		code := 1
		if x, ok := errors.AsType[exit](err); ok {
			code = x.code
		}
		os.Exit(code)
	}
}

// Bounds of an error that is shown: it repeats what was given, of whatever length.
const (
	maxLines = 200
	maxLine  = 2000 // runes
)

// bounded is the text of an error within bounds.
func bounded(err error) string {
	lines := strings.Split(err.Error(), "\n")
	if n := len(lines); n > maxLines {
		lines = append(lines[:maxLines], fmt.Sprintf("... (%d lines in all)", n))
	}
	for k, line := range lines {
		lines[k] = csvfile.Cut(line, maxLine)
	}
	return strings.Join(lines, "\n")
}

// printer is where results are printed. It keeps the first error.
type printer struct {
	mu  sync.Mutex
	err error
}

// lost is the first error since the last call, nil for none.
func (p *printer) lost() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.err
	p.err = nil
	return err
}

var stdout = &printer{}

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := os.Stdout.Write(b)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("what was to be printed is lost: %w", err)
	}
	return n, err
}

// Fd tells whether what is printed is seen on a terminal.
func (p *printer) Fd() uintptr { return os.Stdout.Fd() }

// Once, not by each run: there may be several in a process.
func init() { nb.Output(stdout) }

func run(ctx context.Context, args []string) (err error) {
	stdout.lost()
	defer func() {
		if lost := stdout.lost(); err == nil {
			err = lost
		}
	}()
	flags := flag.NewFlagSet("meshbench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	profile := flags.String("cpuprofile", "", "write a profile of the processor time to `FILE`")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(os.Stderr, usage())
		return nil
	} else if err != nil {
		return fmt.Errorf("%w; meshbench -help lists the commands", err)
	}
	if flags.NArg() == 0 {
		return errors.New("no command\n" + usage())
	}
	if *profile != "" {
		f, err := regular.Create(*profile)
		if err != nil {
			return fmt.Errorf("-cpuprofile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("-cpuprofile: %w", err)
		}
		defer func() {
			pprof.StopCPUProfile()
			if e := f.Close(); err == nil && e != nil {
				err = fmt.Errorf("-cpuprofile: %w", e)
			}
		}()
	}
	var names []string
	for _, c := range commands() {
		if c.name == flags.Arg(0) {
			return c.run(ctx, flags.Args()[1:])
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("unknown command %q; accepted: %s; meshbench -help says what they do", flags.Arg(0), strings.Join(names, ", "))
}

// quickstartCommand is that of lab/cmd/quickstart, for who has compiled this
// program anyway.
func quickstartCommand(ctx context.Context, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("quickstart: %q: no argument is accepted", args[0])
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	return quickstart.Run(ctx, quickstart.Config{Dir: filepath.Join(root, ".out"), Out: stdout})
}

// options are those of one command.
type options struct {
	*flag.FlagSet
	scenario *string
}

func newOptions(name string) options {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return options{flags, flags.String("scenario", "paper", "`NAME` of a built-in scenario ("+strings.Join(scenario.List(), ", ")+") or a YAML file")}
}

// count is the number that an option gives, and what is accepted.
type count struct {
	option             string
	value, least, most int
}

const (
	maxSteps = 10_000_000
	maxRuns  = 10_000
	maxBeds  = 1024 // testbeds, environments or workers side by side
)

func (c count) check() error {
	if c.value < c.least || c.value > c.most {
		return fmt.Errorf("-%s %d; accepted: %d to %d", c.option, c.value, c.least, c.most)
	}
	return nil
}

// check reports the first of several counts that is not accepted.
func (o options) check(list ...count) error {
	for _, c := range list {
		if err := c.check(); err != nil {
			return fmt.Errorf("%s: %w", o.Name(), err)
		}
	}
	return nil
}

// folder adds the option that says where figures go.
func (o options) folder(root string) *string {
	return o.String("o", filepath.Join(root, study.DrawnDir), "`FOLDER` of the figures; the committed ones are in "+study.ReferenceDir)
}

// anywhere reads options that stand before, between and after a command's other
// arguments, which are Args then.
func (o options) anywhere(args []string) error {
	var others []string
	for len(args) > 0 {
		if err := o.Parse(args); err != nil {
			return err
		}
		rest := o.Args()
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" { // no option follows
			others = append(others, rest...)
			break
		}
		if len(rest) > 0 {
			others, rest = append(others, rest[0]), rest[1:]
		}
		args = rest
	}
	return o.Parse(append([]string{"--"}, others...))
}

// parse reads the options of a command and opens its scenario. help says that
// the usage was asked for, and printed.
func (o options) parse(args []string, text string) (s scenario.Scenario, help bool, err error) {
	if err := o.anywhere(args); errors.Is(err, flag.ErrHelp) {
		o.SetOutput(os.Stderr)
		fmt.Fprintf(os.Stderr, "usage: meshbench %s\n", text)
		o.PrintDefaults()
		return s, true, nil
	} else if err != nil {
		return s, false, fmt.Errorf("%s: %w; meshbench %s -help lists the options", o.Name(), err, o.Name())
	}
	s, err = scenario.Open(*o.scenario)
	return s, false, err
}
