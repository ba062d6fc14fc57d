package istio

import (
	"context"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/testbed"
)

// generator makes a step again that the load generator in the mesh did not
// finish, once it is back, and says so.
type generator struct {
	testbed.Generator
	seed     uint64
	patience time.Duration // with a generator that does not answer
	mark     func(string)
}

func (g *generator) Reset(ctx context.Context, seed uint64) error {
	g.seed = seed
	return g.Generator.Reset(ctx, seed)
}

// again is the pause before a generator that failed is asked again.
const again = 500 * time.Millisecond

func (g *generator) Run(ctx context.Context, step httpload.Step) ([]httpload.Result, error) {
	results, err := g.Generator.Run(ctx, step)
	if err == nil || ctx.Err() != nil {
		return results, err
	}
	first := err
	for end := time.Now().Add(g.patience); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(again):
		}
		// One that was restarted does not know the seed.
		if err = g.Generator.Reset(ctx, g.seed); err != nil {
			continue
		}
		if results, err = g.Generator.Run(ctx, step); err == nil {
			g.mark("step made again: the generator failed: " + short(first))
			return results, nil
		}
	}
	return nil, fmt.Errorf("the generator did not come back within %v: %w", g.patience, err)
}
