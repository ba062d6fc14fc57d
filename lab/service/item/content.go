package item

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var words = strings.Fields("amber birch cedar delta ember fjord grove heron inlet jetty knoll larch maple north ocean prism quartz ridge spruce tundra umber valley willow yarrow zephyr")

// Content is the item of microservice i with the given key, a JSON object of
// Size(i, key) bytes. A flat item is one record; a nested one has parts, each
// with fields of its own, as many as there is room for.
func (c *Catalogue) Content(i, key int) string {
	rng := rand.New(rand.NewPCG(c.seed^uint64(i)<<32, uint64(key)))
	size := c.sizes[i][key]
	var b strings.Builder
	b.Grow(size)
	fmt.Fprintf(&b, `{"key":%d,"name":"%s %s"`, key, words[rng.IntN(len(words))], words[rng.IntN(len(words))])
	const closing = `,"text":""}`
	if c.kinds[i].Nested {
		b.WriteString(`,"parts":[`)
		for p := 0; ; p++ {
			part := fmt.Sprintf(`{"part":%d,"label":"%s","position":{"x":%d,"y":%d},"tags":["%s","%s"]}`,
				p, words[rng.IntN(len(words))], rng.IntN(1000), rng.IntN(1000), words[rng.IntN(len(words))], words[rng.IntN(len(words))])
			if b.Len()+len(part)+len(closing)+2 > size {
				break
			}
			if p > 0 {
				b.WriteByte(',')
			}
			b.WriteString(part)
		}
		b.WriteByte(']')
	}
	b.WriteString(`,"text":"`)
	for b.Len() < size-2 {
		w := words[rng.IntN(len(words))] + " "
		b.WriteString(w[:min(len(w), size-2-b.Len())])
	}
	b.WriteString(`"}`)
	return b.String()
}

// ID tells databases apart that were filled from different catalogues.
func (c *Catalogue) ID() string { return fmt.Sprintf("%+v seed %d", c.kinds, c.seed) }
