// Package headless runs notebooks without a browser: each is executed by
// Jupyter's nbconvert and must end without a failed cell, failed shell line or
// unknown magic. Executed notebooks and their HTML are kept beside each other
// in a folder of their own; the committed ones stay without outputs. A notebook
// is not run again while its source, the project's code that it imports and the
// data are those of its last good run.
package headless

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/nb/page"
)

// Config says what is run and where the results go.
type Config struct {
	// Root is the project's folder.
	Root string
	// Notebooks are the files to run; nil means all of Root/notebooks.
	Notebooks []string
	// Small asks the notebooks for short runs.
	Small bool
	// Out is the folder of the results. Default Root/.out/notebooks, or
	// notebooks-small for short runs, so that these replace no other results.
	Out string
	// CellTimeout is the longest time of one cell. Default 15 min.
	CellTimeout time.Duration
	// Data are the files that notebooks read, as patterns relative to Root.
	Data []string
	// Outside is what else results depend on, in words: the presence of a trace, say.
	Outside string
	// Live are folders of packages that look at what is outside; notebooks that
	// import one are always run.
	Live []string
	// Skipped are folders of packages whose notebooks are not run, and why.
	Skipped map[string]string
	// Again runs all of them.
	Again bool
	// Log gets a line per notebook. Default os.Stdout.
	Log io.Writer
}

// Run runs the notebooks and reports every one that failed.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Out == "" {
		cfg.Out = filepath.Join(cfg.Root, ".out", "notebooks")
		if cfg.Small {
			cfg.Out += "-small"
		}
	}
	if cfg.CellTimeout == 0 {
		cfg.CellTimeout = 15 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = os.Stdout
	}
	if len(cfg.Notebooks) == 0 {
		found, err := filepath.Glob(filepath.Join(cfg.Root, "notebooks", "*.ipynb"))
		if err != nil {
			return err
		}
		cfg.Notebooks = found
	}
	if len(cfg.Notebooks) == 0 {
		return fmt.Errorf("no notebook in %s", filepath.Join(cfg.Root, "notebooks"))
	}
	if err := os.MkdirAll(cfg.Out, 0o755); err != nil {
		return fmt.Errorf("make the folder of the executed notebooks: %w", err)
	}
	// Two at a time: much of a notebook's time is waiting for Jupyter.
	errs := make([]error, len(cfg.Notebooks))
	var g errgroup.Group
	g.SetLimit(2)
	var mu sync.Mutex
	for k, path := range cfg.Notebooks {
		g.Go(func() error {
			begin := time.Now()
			var state string
			if state, errs[k] = one(ctx, cfg, path); errs[k] != nil {
				state = "FAILED"
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(cfg.Log, "%-32s %-9s %5.1f s\n", filepath.Base(path), state, time.Since(begin).Seconds())
			return nil
		})
	}
	g.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return errors.Join(errs...)
}

// one runs a notebook unless it is unchanged, and says which.
func one(ctx context.Context, cfg Config, path string) (state string, err error) {
	book, err := read(path)
	if err != nil {
		return "", err
	}
	if k := book.executed(); k > 0 {
		return "", fmt.Errorf("%s: cell %d holds outputs; committed notebooks have none: notebooks/run -strip removes them", filepath.Base(path), k)
	}
	for _, p := range book.imports() {
		if why, ok := cfg.Skipped[p]; ok {
			return "skipped: " + why, nil
		}
	}
	done, key, err := book.before(cfg, path)
	if err != nil {
		return "", err
	}
	if done && !cfg.Again {
		return "unchanged", nil
	}
	if err := os.Remove(keyFile(cfg, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := execute(ctx, cfg, path); err != nil {
		return "", err
	}
	return "ok", atomicfile.Write(keyFile(cfg, path), []byte(key+"\n"))
}

// execute runs a notebook and keeps what it shows.
func execute(ctx context.Context, cfg Config, path string) error {
	executed := filepath.Join(cfg.Out, filepath.Base(path))
	run := exec.CommandContext(ctx, filepath.Join(cfg.Root, ".venv", "bin", "jupyter"), "nbconvert", "--to", "notebook", "--execute", "--allow-errors",
		"--ExecutePreprocessor.kernel_name=meshbench", fmt.Sprintf("--ExecutePreprocessor.timeout=%d", int(cfg.CellTimeout.Seconds())),
		"--output-dir", cfg.Out, "--log-level=ERROR", path)
	run.Dir = cfg.Root
	size := "full"
	if cfg.Small {
		size = "small"
	}
	// Jupyter's files of a run are not in the home folder, which may be read-only.
	run.Env = append(os.Environ(), nb.SizeVariable+"="+size, "MESHBENCH_HEADLESS=1", "JUPYTER_RUNTIME_DIR="+filepath.Join(cfg.Root, ".gonb", "jupyter"))
	// The kernel and the cells' programs have a process group of their own, which
	// Jupyter ends when it is interrupted but not when it is terminated.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGINT) }
	run.WaitDelay = 10 * time.Second
	output, err := run.CombinedOutput()
	if run.Process != nil {
		syscall.Kill(-run.Process.Pid, syscall.SIGKILL)
	}
	if err != nil {
		return fmt.Errorf("%s: nbconvert: %w\n%s", filepath.Base(path), err, firstLines(string(output), 20))
	}
	done, err := read(executed)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(executed)
	if err != nil {
		return err
	}
	title, body, err := page.Notebook(text)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if err := atomicfile.Write(strings.TrimSuffix(executed, ".ipynb")+".html", page.Page(title, nil, body)); err != nil {
		return err
	}
	return done.check(filepath.Base(path))
}

// notebook is what is read of an .ipynb file.
type notebook struct {
	Cells []cell `json:"cells"`
}

type cell struct {
	Type    string   `json:"cell_type"`
	Source  lines    `json:"source"`
	Outputs []output `json:"outputs"`
	Count   *int     `json:"execution_count"`
}

type output struct {
	Type      string   `json:"output_type"`
	Name      string   `json:"name"`
	Text      lines    `json:"text"`
	Error     string   `json:"ename"`
	Value     string   `json:"evalue"`
	Traceback []string `json:"traceback"`
}

// lines is text that a notebook holds as one string or as a list of lines.
type lines string

func (l *lines) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*l = lines(strings.Join(list, ""))
		return nil
	}
	return json.Unmarshal(b, (*string)(l))
}

func read(path string) (*notebook, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read notebook: %w", err)
	}
	var n notebook
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("%s is not a notebook: %w", path, err)
	}
	return &n, nil
}

// executed is the number of the first cell with outputs, 0 when there is none.
func (n *notebook) executed() int {
	for k, c := range n.Cells {
		if len(c.Outputs) > 0 || c.Count != nil {
			return k + 1
		}
	}
	return 0
}

// check reports the first cell that failed.
func (n *notebook) check(name string) error {
	for k, c := range n.Cells {
		for _, o := range c.Outputs {
			if what := o.failure(string(c.Source)); what != "" {
				return fmt.Errorf("%s: cell %d failed: %s\n%s", name, k+1, what, firstLines(c.errorText(), 12))
			}
		}
	}
	return nil
}

// failure says in which way an output shows a failure, "" for none. The kernel
// reports a failed shell line and an unknown magic on stderr alone.
func (o output) failure(source string) string {
	switch {
	case o.Type == "error":
		return o.Value
	case o.Type != "stream" || o.Name != "stderr":
		return ""
	case strings.Contains(string(o.Text), "unknown or not implemented yet"):
		return "unknown magic"
	case hasShell(source) && strings.HasPrefix(strings.TrimSpace(lastLine(string(o.Text))), "exit status "):
		return "shell command: " + strings.TrimSpace(lastLine(string(o.Text)))
	}
	return ""
}

// hasShell reports whether a cell runs shell commands.
func hasShell(source string) bool {
	for line := range strings.Lines(source) {
		if strings.HasPrefix(line, "!") || strings.HasPrefix(line, "%%bash") || strings.HasPrefix(line, "%%sh") || strings.HasPrefix(line, "%%script") {
			return true
		}
	}
	return false
}

// errorText is what the cell wrote to stderr and its tracebacks.
func (c cell) errorText() string {
	var b strings.Builder
	for _, o := range c.Outputs {
		if o.Type == "error" {
			b.WriteString(strings.Join(o.Traceback, "\n") + "\n")
		} else if o.Name == "stderr" {
			b.WriteString(string(o.Text))
		}
	}
	return b.String()
}

func lastLine(text string) string {
	text = strings.TrimRight(text, "\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

func firstLines(text string, n int) string {
	list := strings.SplitAfterN(strings.TrimSpace(text), "\n", n+1)
	if len(list) > n {
		list = list[:n]
	}
	return strings.TrimRight(strings.Join(list, ""), "\n")
}
