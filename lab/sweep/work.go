package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Names of a task's objects.
const (
	results  = "results/"
	policies = "policies/"
	plans    = "plans"
)

// State is how far a sweep is.
type State struct {
	Total  int
	Before int // were done
	Now    int // were done since
	Others int // of those, somebody else was faster
	Bad    int // of those since, have a setting that is not accepted
	Failed int // were tried in vain
	Tries  int // trainings that were begun
}

// Left are the tasks that are to be done.
func (s State) Left() int { return s.Total - s.Before - s.Now - s.Failed }

// Config is how tasks are done.
type Config struct {
	Store Store
	// Do does a task; default a Worker's.
	Do func(ctx context.Context, t Task) (Result, []byte, error)
	// Workers are how many are done at a time. Default 1.
	Workers int
	// Tries is how often a task is tried that fails for a reason of the moment.
	// Default 3; one of which the setting is bad is never tried again.
	Tries int
	// Pause is the time before a task is tried again. Default 1 s.
	Pause time.Duration
	// Progress, if set, is called when something was done.
	Progress func(State)
}

func (c Config) defaults() Config {
	if c.Do == nil {
		c.Do = (&Worker{Store: c.Store}).Do
	}
	c.Workers = max(c.Workers, 1)
	if c.Tries == 0 {
		c.Tries = 3
	}
	if c.Pause == 0 {
		c.Pause = time.Second
	}
	if c.Progress == nil {
		c.Progress = func(State) {}
	}
	return c
}

// Do does the tasks that have no result. One that fails does not keep the others
// from being done; its error is among those that are returned. When ctx ends, what
// is under way is given up; what was done stays.
func Do(ctx context.Context, tasks []Task, c Config) (State, error) {
	c = c.defaults()
	left, err := Left(ctx, c.Store, tasks)
	if err != nil {
		return State{Total: len(tasks)}, err
	}
	var mu sync.Mutex
	s := State{Total: len(tasks), Before: len(tasks) - len(left)}
	c.Progress(s)
	var errs []error
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Workers)
	for _, t := range left {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			tries, r, mine, err := c.one(gctx, t)
			mu.Lock()
			defer mu.Unlock()
			s.Tries += tries
			switch {
			case gctx.Err() != nil && err != nil:
				return gctx.Err()
			case err != nil:
				s.Failed++
				errs = append(errs, fmt.Errorf("%s: %w", t, err))
			default:
				s.Now++
				if !mine {
					s.Others++
				}
				if r.Bad != "" {
					s.Bad++
				}
			}
			c.Progress(s)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return s, err
	}
	return s, errors.Join(errs...)
}

// one does a task and writes its result; mine is false where there was one then.
func (c Config) one(ctx context.Context, t Task) (tries int, r Result, mine bool, err error) {
	for {
		if ctx.Err() != nil {
			return tries, r, false, ctx.Err()
		}
		tries++
		if r, mine, err = c.try(ctx, t); err == nil || tries >= c.Tries {
			return tries, r, mine, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.Pause):
		}
	}
}

func (c Config) try(ctx context.Context, t Task) (r Result, mine bool, err error) {
	r, policy, err := c.Do(ctx, t)
	if err != nil {
		return r, false, err
	}
	if policy != nil { // before the result, which says that it is there
		if _, err := c.Store.PutIfAbsent(ctx, policies+t.Key(), policy); err != nil {
			return r, false, err
		}
	}
	text, err := r.text()
	if err != nil {
		return r, false, fmt.Errorf("sweep: result of %s: %w", t, err)
	}
	mine, err = c.Store.PutIfAbsent(ctx, results+t.Key(), text)
	return r, mine, err
}

// One does a task, unless it has a result: a pod's part of a sweep.
func One(ctx context.Context, t Task, c Config) (Result, error) {
	c = c.defaults()
	r, err := Of(ctx, c.Store, t)
	if !errors.Is(err, ErrAbsent) {
		return r, err
	}
	_, r, _, err = c.one(ctx, t)
	return r, err
}

// Left are the tasks without a result.
func Left(ctx context.Context, s Store, tasks []Task) (left []Task, err error) {
	names, err := s.List(ctx, results)
	if err != nil {
		return nil, err
	}
	done := make(map[string]bool, len(names))
	for _, n := range names {
		done[strings.TrimPrefix(n, results)] = true
	}
	for _, t := range tasks {
		if key := t.Key(); !done[key] {
			done[key] = true // a task that is there twice is done once
			left = append(left, t)
		}
	}
	return left, nil
}

// Of is the result of a task; ErrAbsent where there is none.
func Of(ctx context.Context, s Store, t Task) (r Result, err error) {
	text, err := s.Get(ctx, results+t.Key())
	if err != nil {
		return r, err
	}
	err = json.Unmarshal(text, &r)
	if err == nil && r.Task.Key() != t.Key() {
		err = errors.New("it is of another task")
	}
	if err == nil {
		var again []byte
		if again, err = r.text(); err == nil && !bytes.Equal(again, text) {
			err = errors.New("its content has another hash")
		}
	}
	if err != nil {
		return r, fmt.Errorf("sweep: the result of %s is damaged, remove %s from the store: %w", t, results+t.Key(), err)
	}
	return r, nil
}

// text is a result as it is stored, with a hash of the rest.
func (r Result) text() ([]byte, error) {
	r.SHA256 = ""
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	r.SHA256 = hash(text)
	text, err = json.MarshalIndent(r, "", " ")
	return append(text, '\n'), err
}

// Policy is the file of the policy that a task trained.
func Policy(ctx context.Context, s Store, r Result) ([]byte, error) {
	b, err := s.Get(ctx, policies+r.Task.Key())
	if err == nil && hash(b) != r.Policy {
		err = fmt.Errorf("sweep: the policy of %s is damaged: its content has another hash", r.Task)
	}
	return b, err
}

// Plan puts a list of tasks into the store, for workers elsewhere.
func Plan(ctx context.Context, s Store, tasks []Task) (name string, err error) {
	b, err := json.Marshal(tasks)
	if err != nil {
		return "", fmt.Errorf("sweep: %w", err)
	}
	return Keep(ctx, s, plans, b)
}

// Planned is the list of tasks that Plan put.
func Planned(ctx context.Context, s Store, name string) (tasks []Task, err error) {
	b, err := Kept(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &tasks); err != nil {
		return nil, fmt.Errorf("sweep: plan %s: %w", name, err)
	}
	return tasks, nil
}
