package sim

import "sync"

// maxTables bounds the memory of tables: 8,192 of the paper's mesh take 340 MB.
const maxTables = 8192

// tables keeps what was computed, by key. It is safe for concurrent use; a
// value is computed once, also when several ask for it at a time. When there
// are too many it begins again: loads that do not recur are not worth keeping.
type tables[T any] struct {
	mu sync.Mutex
	of map[string]*entry[T]
}

type entry[T any] struct {
	asked int // how often, in vain
	once  sync.Once
	value T
	err   error
}

func (t *tables[T]) get(key []byte, compute func() (T, error)) (T, error) {
	e := t.entry(key, maxAsked)
	e.once.Do(func() { e.value, e.err = compute() })
	return e.value, e.err
}

// maxAsked is how often part of a table is computed alone before the table is.
// A table of the paper's mesh has 1,296 actions, of which training asks for a
// few where loads hardly recur.
const maxAsked = 100

// ask is get if the table is there or has been asked for often, and not ok
// otherwise.
func (t *tables[T]) ask(key []byte, compute func() (T, error)) (value T, ok bool, err error) {
	e := t.entry(key, 1)
	if e == nil {
		return value, false, nil
	}
	e.once.Do(func() { e.value, e.err = compute() })
	return e.value, true, e.err
}

// entry counts so many asks, and returns nil while they are not enough.
func (t *tables[T]) entry(key []byte, asks int) *entry[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.of[string(key)]
	if e == nil {
		if t.of == nil || len(t.of) == maxTables {
			t.of = map[string]*entry[T]{}
		}
		e = &entry[T]{}
		t.of[string(key)] = e
	}
	if e.asked += asks; e.asked < maxAsked {
		return nil
	}
	e.asked = maxAsked
	return e
}
