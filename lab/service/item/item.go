// Package item describes what the microservices serve: for each a database of
// items with keys 0, 1, ..., whose sizes decide how long a processing node works
// on a request. The databases of a running node are
// filled from it, and the simulated mesh takes its service times from it.
package item

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// Kind is the structure and size of one microservice's database.
type Kind struct {
	Items     int     // number of items
	MeanBytes float64 // mean size of an item, MinBytes of which every item has
	Shape     float64 // of the gamma distribution of the rest, whose coefficient of variation is 1/sqrt(Shape)
	Nested    bool    // an item is a tree of parts rather than one flat record
}

// SecondsPerByte is the service time of a processing node for each byte of the
// item: the processor share that a node has.
const SecondsPerByte = 20e-6

// MinBytes is the size of an item without content: the fields that all have.
const MinBytes = 160

// Catalogue holds the sizes of all items of all microservices.
type Catalogue struct {
	kinds []Kind
	seed  uint64
	sizes [][]int
}

// NewCatalogue draws the sizes of the items from seed. They are the quantiles
// of the distribution in random order, so that their mean, and with it the
// load that a node can carry, does not depend on the seed.
func NewCatalogue(kinds []Kind, seed uint64) (*Catalogue, error) {
	c := &Catalogue{kinds: kinds, seed: seed, sizes: make([][]int, len(kinds))}
	for i, k := range kinds {
		if k.Items < 1 || !(k.MeanBytes > MinBytes) || !(k.Shape > 0) {
			return nil, fmt.Errorf("item: database of microservice %d with %d items, mean size %v, shape %v; "+
				"at least 1 item, more than %d bytes, and a shape above 0", i+1, k.Items, k.MeanBytes, k.Shape, MinBytes)
		}
		d := distuv.Gamma{Alpha: k.Shape, Beta: k.Shape / (k.MeanBytes - MinBytes)}
		sizes := make([]int, k.Items)
		for n := range sizes {
			sizes[n] = MinBytes + int(d.Quantile((float64(n)+.5)/float64(k.Items))+.5)
		}
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		rng.Shuffle(len(sizes), func(a, b int) { sizes[a], sizes[b] = sizes[b], sizes[a] })
		c.sizes[i] = sizes
	}
	return c, nil
}

// Services is the number of microservices.
func (c *Catalogue) Services() int { return len(c.kinds) }

// Len is the number of items of microservice i.
func (c *Catalogue) Len(i int) int { return len(c.sizes[i]) }

// Size is the size in bytes of the item of microservice i with the given key.
func (c *Catalogue) Size(i, key int) int { return c.sizes[i][key] }

// Key is the item of microservice i that a uniform random number picks.
func (c *Catalogue) Key(i int, draw uint64) int { return int(draw % uint64(len(c.sizes[i]))) }

// Link is the default time of a request on the network, to a node and back, in
// s. Ten times faster it is still longer than HTTP over loopback takes.
const Link = .005

// Queue is the default bound on the requests that wait at a node.
const Queue = 16

// ServiceTime is how long a node works on an item of that size, in s.
func ServiceTime(bytes int) float64 { return float64(bytes) * SecondsPerByte }
