package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/sweep"
)

const sweepText = `sweep [options] FILE

Trains the policies of a sweep (see lab/sweep), all that have no result in its
store yet, and writes a table of their scores, a row for each result, and a
picture. It may be interrupted; the same command goes on.`

// sweeping is the options of the command.
type sweeping struct {
	store, out string
	workers    int
	jobOptions
}

// jobOptions are those of a sweep on a cluster.
type jobOptions struct {
	jobs, cancel, spread                    bool
	kubeconfig, cluster, space, image       string
	remote, queue, cpu, memory, claim, keys string
	parallel                                int
	plan                                    string // worker
}

func sweepCommand(ctx context.Context, args []string) error {
	o := newOptions("sweep")
	var s sweeping
	o.StringVar(&s.store, "store", "", "`FOLDER` of results, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME (default .cache/sweep)")
	o.StringVar(&s.out, "o", "", "`FOLDER` of tables and picture (default .out/sweep-NAME)")
	o.IntVar(&s.workers, "workers", runtime.NumCPU(), "trainings at a time on this machine")
	o.BoolVar(&s.jobs, "jobs", false, "train on a Kubernetes cluster, as an Indexed Job")
	o.BoolVar(&s.cancel, "cancel", false, "end the Job of this sweep; results stay")
	o.StringVar(&s.kubeconfig, "kubeconfig", "", "jobs: `FILE` (default $KUBECONFIG, then ~/.kube/config)")
	o.StringVar(&s.cluster, "context", "", "jobs: `NAME` of a context in it (default its current one)")
	o.StringVar(&s.space, "namespace", "default", "jobs: `NAME` of the Job's namespace")
	o.StringVar(&s.image, "image", "meshbench:latest", "jobs: `IMAGE` with this program")
	o.StringVar(&s.remote, "remote", "", "jobs: the store as pods reach it (default that of -store; for a volume, its folder in the pods)")
	o.StringVar(&s.queue, "queue", "", "jobs: `NAME` of a local queue of Kueue to wait in")
	o.StringVar(&s.cpu, "cpu", "1", "jobs: processors of a pod")
	o.StringVar(&s.memory, "memory", "1Gi", "jobs: memory of a pod")
	o.StringVar(&s.claim, "claim", "", "jobs: `NAME` of the PersistentVolumeClaim of a store in a folder, mounted at -remote")
	o.StringVar(&s.keys, "secret", "", "jobs: `NAME` of a Secret with the environment of pods, for instance a bucket's keys")
	o.BoolVar(&s.spread, "spread", false, "jobs: each pod on a machine of its own")
	o.IntVar(&s.parallel, "parallel", 10, "jobs: pods at a time")
	o.StringVar(&s.plan, "plan", "", "of a pod: `NAME` of the list of tasks in the store, of which it does the one of its index")
	_, help, err := o.parse(args, sweepText)
	if help || err != nil {
		return err
	}
	if s.plan != "" {
		return s.work(ctx)
	}
	if o.NArg() != 1 {
		return errors.New("sweep: name the file of the sweep, one; meshbench sweep -help lists the options")
	}
	if err := o.check(count{"workers", s.workers, 1, maxBeds}, count{"parallel", s.parallel, 1, 100_000}); err != nil {
		return err
	}
	spec, err := sweep.Read(o.Arg(0))
	if err != nil {
		return err
	}
	root, err := study.Root()
	if err != nil {
		return err
	}
	if s.store == "" {
		s.store = filepath.Join(root, ".cache", "sweep")
	}
	if s.out == "" {
		s.out = filepath.Join(root, ".out", "sweep-"+spec.Name)
	}
	if err := regular.Folder(s.out); err != nil {
		return fmt.Errorf("sweep: -o: %w", err)
	}
	store, err := openStore(ctx, s.store)
	if err != nil {
		return err
	}
	return s.hold(ctx, store, func(ctx context.Context) error {
		sources, err := s.sources(ctx, root, store, spec)
		if err != nil {
			return stopped("sweep", err)
		}
		tasks, err := spec.Tasks(sources)
		if err != nil {
			return err
		}
		if s.jobs || s.cancel {
			if err := s.onCluster(ctx, store, spec, tasks); err != nil || s.cancel {
				return err
			}
		} else if err := s.here(ctx, store, tasks); err != nil {
			return err
		}
		return s.collect(ctx, store, tasks)
	})
}

// hold keeps another process of this machine from doing the same tasks.
func (s *sweeping) hold(ctx context.Context, store sweep.Store, do func(context.Context) error) error {
	f, ok := store.(sweep.Folder)
	if !ok {
		return do(ctx)
	}
	live := nb.NewLive()
	defer live.Close()
	return lease.File{Path: filepath.Join(f.Dir, ".lock"), Owner: "meshbench sweep, " + lease.Process(), Wait: true,
		Waiting: func(owner string) { live.Text("waiting: %s works on %s", owner, f.Dir) }}.Hold(ctx, do)
}

// sources learns the models of a sweep, unless they are in the study's cache, and
// puts them into the store.
func (s *sweeping) sources(ctx context.Context, root string, store sweep.Store, spec sweep.Spec) (all []sweep.Source, err error) {
	code, err := study.CodeHash()
	if err != nil {
		return nil, err
	}
	for _, name := range spec.Scenarios {
		sc, err := scenario.Open(name)
		if err != nil {
			return nil, fmt.Errorf("sweep: %w", err)
		}
		text, err := scenario.Text(name)
		if err != nil {
			if text, err = os.ReadFile(name); err != nil {
				return nil, fmt.Errorf("sweep: %w", err)
			}
		}
		src, err := source(ctx, root, spec.Trace, sc)
		if err != nil {
			return nil, err
		}
		file, err := s.model(ctx, src)
		if err != nil {
			return nil, err
		}
		x := sweep.Source{Scenario: sc, Expected: src.Expected, Code: code}
		if x.File, err = sweep.Keep(ctx, store, "scenarios", text); err != nil {
			return nil, err
		}
		if x.Model, err = sweep.Keep(ctx, store, "models", file); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// model is the file of a source's model.
func (s *sweeping) model(ctx context.Context, src study.Source) ([]byte, error) {
	m, err := src.Learn(ctx, 0)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "meshbench-model-")
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model")
	if err := m.Save(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// here does the tasks on this machine.
func (s *sweeping) here(ctx context.Context, store sweep.Store, tasks []sweep.Task) error {
	live := nb.NewLive()
	begin := time.Now()
	state, err := sweep.Do(ctx, tasks, sweep.Config{Store: store, Workers: s.workers, Progress: func(x sweep.State) {
		text := fmt.Sprintf("%d of %d trained", x.Before+x.Now, x.Total)
		if x.Now > 0 && x.Left() > 0 {
			text += fmt.Sprintf(", %v left", (time.Since(begin) / time.Duration(x.Now) * time.Duration(x.Left())).Round(time.Second))
		}
		live.Text("%s", text)
	}})
	live.Close()
	fmt.Fprintf(stdout, "%d tasks: %d were done before, %d done now, of which %d have a setting that is not accepted, %d failed; %d trainings begun\n",
		state.Total, state.Before, state.Now, state.Bad, state.Failed, state.Tries)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("sweep: interrupted; the same command goes on")
	}
	return err
}

// collect writes the tables and the picture.
func (s *sweeping) collect(ctx context.Context, store sweep.Store, tasks []sweep.Task) error {
	c, err := sweep.Collect(ctx, store, tasks)
	if err != nil {
		return err
	}
	table, rows := c.Table(), c.Rows()
	for name, text := range map[string][]byte{"table.md": table.Markdown(), "table.csv": table.CSV(), "results.csv": rows.CSV()} {
		if err := atomicfile.Write(filepath.Join(s.out, name), text); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	for _, x := range c.Summaries() { // the best policies, as other commands take them
		if !x.Best {
			continue
		}
		if err := s.best(ctx, store, c, x); err != nil {
			return err
		}
	}
	stdout.Write(table.Markdown())
	if f, err := c.Draw(); err == nil {
		if err := f.Save(s.out, "scores"); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	fmt.Fprintf(stdout, "%s: table.md, table.csv, results.csv, scores.svg, and the best policies\n", s.out)
	if c.Missing > 0 {
		return fmt.Errorf("sweep: %d of %d tasks have no result; the same command tries again", c.Missing, len(tasks))
	}
	return nil
}

// best writes the policy of the best seed of the best setting of a scenario and an
// objective.
func (s *sweeping) best(ctx context.Context, store sweep.Store, c sweep.Collected, x sweep.Summary) error {
	var top *sweep.Result
	for k := range c.Results {
		r := &c.Results[k]
		if t := r.Task; t.Scenario == x.Scenario && t.Objective == x.Objective && t.Setting == x.Setting && t.Load == x.Load && r.Bad == "" && (top == nil || r.Score > top.Score) {
			top = r
		}
	}
	if top == nil {
		return nil
	}
	data, err := sweep.Policy(ctx, store, *top)
	if err != nil {
		return err
	}
	path := filepath.Join(s.out, "best-"+x.Scenario+"-"+x.Objective)
	if err := card.Free(path); err != nil {
		return err
	}
	return atomicfile.Write(path, data)
}

// openStore is the store of an option.
func openStore(ctx context.Context, name string) (sweep.Store, error) {
	if isBucket(name) {
		return openBucket(ctx, name)
	}
	err := regular.Folder(name)
	if strings.HasPrefix(strings.ToLower(name), "s3:") {
		err = fmt.Errorf("%q; accepted: a folder", csvfile.Cut(name, 40))
	}
	if err != nil {
		return nil, fmt.Errorf("sweep: -store: %w; or s3://BUCKET/PREFIX", err)
	}
	return sweep.Folder{Dir: name}, nil
}

// exit is an error with an exit code of its own.
type exit struct {
	error
	code int
}

// work is what a pod does: the task of its index.
func (s *sweeping) work(ctx context.Context) error {
	store, err := openStore(ctx, s.store)
	if err != nil {
		return err
	}
	tasks, err := sweep.Planned(ctx, store, s.plan)
	if err != nil {
		return err
	}
	i, err := podIndex()
	if err != nil {
		return err
	}
	if i >= len(tasks) {
		return fmt.Errorf("sweep: index %d of %d tasks", i, len(tasks))
	}
	r, err := sweep.One(ctx, tasks[i], sweep.Config{Store: store})
	if err != nil {
		return fmt.Errorf("sweep: %s: %w", tasks[i], err)
	}
	if r.Bad != "" {
		return exit{fmt.Errorf("sweep: %s: not accepted: %s", tasks[i], r.Bad), badCode}
	}
	fmt.Fprintf(stdout, "%s: score %.4f\n", tasks[i], r.Score)
	return nil
}
