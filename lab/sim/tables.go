package sim

import "sync"

// maxTables bounds the memory of tables: 8,192 of the paper's mesh take 680 MB.
const maxTables = 8192

// maxAsked is how often part of a table is computed alone before the table is.
// A table of the paper's mesh has 1,296 actions, of which training asks for a
// few where loads hardly recur.
const maxAsked = 100

// tables keeps what was computed, by key. It is safe for concurrent use; a
// value is computed once, also when several ask for it at a time. When there
// are too many it begins again: loads that do not recur are not worth keeping.
type tables[T any] struct {
	mu sync.Mutex
	of map[string]*entry[T]
}

type entry[T any] struct {
	asked int // how often, up to maxAsked
	once  sync.Once
	value T
	err   error
}

// get returns the value of key, computing it at first use.
func (t *tables[T]) get(key []byte, compute func() (T, error)) (T, error) {
	t.mu.Lock()
	e := t.entry(key)
	e.asked = maxAsked
	t.mu.Unlock()
	e.once.Do(func() { e.value, e.err = compute() })
	return e.value, e.err
}

// worth reports whether the value of key is there, or was asked about so often
// that it is worth computing.
func (t *tables[T]) worth(key []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry(key)
	e.asked = min(e.asked+1, maxAsked)
	return e.asked == maxAsked
}

// entry finds or makes an entry; t is locked.
func (t *tables[T]) entry(key []byte) *entry[T] {
	e := t.of[string(key)]
	if e == nil {
		if t.of == nil || len(t.of) == maxTables {
			t.of = map[string]*entry[T]{}
		}
		e = &entry[T]{}
		t.of[string(key)] = e
	}
	return e
}
