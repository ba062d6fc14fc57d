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
	once  sync.Once
	value T
	err   error
}

func (t *tables[T]) get(key []byte, compute func() (T, error)) (T, error) {
	t.mu.Lock()
	e := t.of[string(key)]
	if e == nil {
		if t.of == nil || len(t.of) == maxTables {
			t.of = map[string]*entry[T]{}
		}
		e = &entry[T]{}
		t.of[string(key)] = e
	}
	t.mu.Unlock()
	e.once.Do(func() { e.value, e.err = compute() })
	return e.value, e.err
}
