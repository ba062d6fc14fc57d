package item

import (
	"encoding/json"
	"math"
	"testing"
)

// two are the kinds of the paper's scenario.
var two = []Kind{
	{Items: 1000, MeanBytes: 1200, Shape: .5},
	{Items: 2000, MeanBytes: 3600, Shape: 16, Nested: true},
}

// The paper's two kinds: item for item the size that decides the service time
// is that of the content; service 2's items are nested, its database is larger,
// and it is three times as costly on average.
func TestPaperItems(t *testing.T) {
	c, err := NewCatalogue(two, 3)
	if err != nil {
		t.Fatal(err)
	}
	var seconds, bytes [2]float64
	for i := range 2 {
		for key := range c.Len(i) {
			content := c.Content(i, key)
			if len(content) != c.Size(i, key) {
				t.Fatalf("item %d of service %d has %d bytes, want %d", key, i+1, len(content), c.Size(i, key))
			}
			var v struct {
				Key   *int
				Parts []struct{ Position map[string]int }
			}
			if err := json.Unmarshal([]byte(content), &v); err != nil || v.Key == nil || *v.Key != key {
				t.Fatalf("item %d of service %d: %v: %s", key, i+1, err, content)
			}
			if nested := len(v.Parts) > 0; nested != (i == 1) || nested && len(v.Parts[0].Position) != 2 {
				t.Fatalf("item %d of service %d: nested %v", key, i+1, nested)
			}
			bytes[i] += float64(len(content))
			seconds[i] += ServiceTime(len(content)) / float64(c.Len(i))
		}
	}
	for i, want := range []float64{.024, .072} {
		if math.Abs(seconds[i]/want-1) > .01 {
			t.Errorf("service %d takes %.4f s on average, want %v", i+1, seconds[i], want)
		}
	}
	if bytes[1] < 4*bytes[0] {
		t.Errorf("databases of %.0f and %.0f bytes", bytes[0], bytes[1])
	}
}

// Items follow from the seed, and the mean size does not depend on it.
func TestCatalogueSeed(t *testing.T) {
	mean := func(c *Catalogue) float64 {
		sum := 0
		for key := range c.Len(0) {
			sum += c.Size(0, key)
		}
		return float64(sum) / float64(c.Len(0))
	}
	make := func(seed uint64) *Catalogue {
		c, err := NewCatalogue(two, seed)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, again, b := make(1), make(1), make(2)
	if a.Content(1, 17) != again.Content(1, 17) || a.ID() != again.ID() {
		t.Error("one seed made two databases")
	}
	if a.Content(1, 17) == b.Content(1, 17) || a.ID() == b.ID() {
		t.Error("two seeds made one database")
	}
	if mean(a) != mean(b) {
		t.Errorf("mean size %v with one seed, %v with another", mean(a), mean(b))
	}
}

func TestNewCatalogueErrors(t *testing.T) {
	for _, k := range []Kind{
		{},
		{Items: 1, MeanBytes: MinBytes, Shape: 1},
		{Items: 1, MeanBytes: 1000},
		{Items: 1, MeanBytes: math.NaN(), Shape: 1},
		{Items: -1, MeanBytes: 1000, Shape: 1},
	} {
		if _, err := NewCatalogue([]Kind{k}, 0); err == nil {
			t.Errorf("%+v was accepted", k)
		}
	}
}
