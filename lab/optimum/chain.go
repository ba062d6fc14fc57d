package optimum

import (
	"context"
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Chain is offered load as a Markov chain: what the load of the next step may be,
// given that of this one. Of a pattern that has a longer memory it is only about
// that.
type Chain struct {
	Ranges load.Ranges
	Cells  int         // of each service's range
	Loads  []mesh.Load // the middle of each cell that was seen, weighted by what was seen
	Next   [][]Likely  // per cell
	of     map[int]int // number of a cell in the grid
}

// Likely is a cell and its probability.
type Likely struct {
	Cell        int
	Probability float64
}

// NewChain counts the steps of a pattern: cells per service (default 16), over
// the given seeds and as many steps of each.
func NewChain(p load.Pattern, ranges load.Ranges, cells int, seeds []uint64, steps int) *Chain {
	if cells == 0 {
		cells = 16
	}
	c := &Chain{Ranges: ranges, Cells: cells, of: map[int]int{}}
	count := map[[2]int]float64{}
	var seen []float64
	var l mesh.Load
	for _, seed := range seeds {
		before := -1
		for t := range steps {
			l = p.At(l, seed, t)
			k, ok := c.of[c.grid(l)]
			if !ok {
				k = len(c.Loads)
				c.of[c.grid(l)] = k
				c.Loads, seen = append(c.Loads, make(mesh.Load, len(l))), append(seen, 0)
			}
			for i, v := range l {
				c.Loads[k][i] += v
			}
			seen[k]++
			if before >= 0 {
				count[[2]int{before, k}]++
			}
			before = k
		}
	}
	c.Next = make([][]Likely, len(c.Loads))
	for from := range c.Loads {
		for i := range c.Loads[from] {
			c.Loads[from][i] /= seen[from]
		}
		sum := 0.0
		for to := range c.Loads {
			if n := count[[2]int{from, to}]; n > 0 {
				c.Next[from] = append(c.Next[from], Likely{to, n})
				sum += n
			}
		}
		if sum == 0 { // the last step of a run alone
			c.Next[from], sum = []Likely{{from, 1}}, 1
		}
		for k := range c.Next[from] {
			c.Next[from][k].Probability /= sum
		}
	}
	return c
}

func (c *Chain) grid(l mesh.Load) int {
	k := 0
	for i, v := range l {
		r := c.Ranges[i]
		at := int((v - r.Min) / (r.Max - r.Min) * float64(c.Cells))
		k = k*c.Cells + min(max(at, 0), c.Cells-1)
	}
	return k
}

// Of is the cell of a load, of one that was not seen the nearest.
func (c *Chain) Of(l mesh.Load) int {
	if k, ok := c.of[c.grid(l)]; ok {
		return k
	}
	best, least := 0, math.Inf(1)
	for k, o := range c.Loads {
		d := 0.0
		for i := range l {
			x := (l[i] - o[i]) / (c.Ranges[i].Max - c.Ranges[i].Min)
			d += float64(x * x)
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// Program is what dynamic programming makes of loads that come as a chain: the
// best that can be done without knowing which will.
type Program struct {
	d     *Dynamics
	chain *Chain
	gamma float64
	next  [][]float32 // per cell: expected worth of each configuration in the step after
	// Sweeps is how many the iteration took.
	Sweeps int
}

// maxIterated bounds cells times configurations times what can be asked for.
const maxIterated = 50_000_000

// Iterate finds by value iteration what pays most in the long run, the step k
// steps ahead counting gamma^k: until no value changes by more than 1e-4 of the
// spread of rewards.
func (d *Dynamics) Iterate(ctx context.Context, c *Chain, gamma float64) (*Program, error) {
	if n := len(c.Loads) * len(d.to); n > maxIterated {
		return nil, fmt.Errorf("optimum: dynamic programming over %d loads, %d configurations and %d choices; accepted: a product of at most %d", len(c.Loads), len(d.states), len(d.asks), maxIterated)
	}
	if !(gamma >= 0 && gamma < 1) {
		return nil, fmt.Errorf("optimum: discount %v; accepted: 0 to below 1", gamma)
	}
	if err := d.prepare(ctx, c.Loads); err != nil {
		return nil, err
	}
	p := &Program{d: d, chain: c, gamma: gamma, next: make([][]float32, len(c.Loads))}
	worth := make([][]float32, len(c.Loads))
	lo, hi := math.Inf(1), math.Inf(-1)
	for l, load := range c.Loads {
		worth[l], p.next[l] = make([]float32, len(d.states)), make([]float32, len(d.states))
		now, err := d.values(load)
		if err != nil {
			return nil, err
		}
		for _, v := range now {
			lo, hi = min(lo, v.reward), max(hi, v.reward)
		}
	}
	for change := math.Inf(1); change > 1e-4*(hi-lo); p.Sweeps++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for l := range worth {
			next := p.next[l]
			clear(next)
			for _, x := range c.Next[l] {
				for s, v := range worth[x.Cell] {
					next[s] += float32(x.Probability) * v
				}
			}
		}
		change = 0
		for l, load := range c.Loads {
			now, err := d.values(load)
			if err != nil {
				return nil, err
			}
			for s := range worth[l] {
				v, _ := d.choose(int32(s), now, gamma, func(to int32) float64 { return float64(p.next[l][to]) })
				change = max(change, math.Abs(v-float64(worth[l][s])))
				worth[l][s] = float32(v)
			}
		}
	}
	return p, nil
}

// Name is "dp".
func (p *Program) Name() string { return "dp" }

// Reset does nothing.
func (p *Program) Reset(uint64) {}

// Act is the best action from the configuration of state s at its load.
func (p *Program) Act(s mesh.State) (mesh.Action, error) {
	from, err := p.d.of(s)
	if err != nil {
		return nil, err
	}
	now, err := p.d.values(s.Load)
	if err != nil {
		return nil, err
	}
	next := p.next[p.chain.Of(s.Load)]
	_, ask := p.d.choose(from, now, p.gamma, func(to int32) float64 { return float64(next[to]) })
	return p.d.action(ask, now[p.d.pays[int(from)*len(p.d.asks)+ask]].fast), nil
}
