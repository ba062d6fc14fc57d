package study

import (
	"context"
	"encoding/json"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/testbed"
)

// onBeds makes the runs of a trial on so many testbeds side by side. Each run is a
// line of file, which may be nil, as soon as it is made; done is told of it then, one
// at a time.
func onBeds[B testbed.Testbed, J, R any](ctx context.Context, beds int, start func(context.Context) (B, error), jobs []J,
	file *appendfile.File, run func(context.Context, B, J) (R, error), done func(R)) error {
	todo := make(chan J, len(jobs))
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	var mu sync.Mutex
	keep := func(out R) error {
		mu.Lock()
		defer mu.Unlock()
		if file != nil {
			line, err := json.Marshal(out)
			if err != nil {
				return err
			}
			if err := file.Append(append(line, '\n')); err != nil {
				return err
			}
			if err := file.Sync(); err != nil {
				return err
			}
		}
		done(out)
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for range min(max(beds, 1), len(jobs)) {
		g.Go(func() (err error) {
			bed, err := start(ctx)
			if err != nil {
				return err
			}
			defer func() {
				if e := bed.Close(); err == nil {
					err = e
				}
			}()
			for j := range todo {
				out, err := run(ctx, bed, j)
				if err != nil {
					return err
				}
				if err := keep(out); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
