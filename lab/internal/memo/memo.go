// Package memo keeps what was computed, by key, within a bound on its memory.
package memo

import (
	"sync"
	"sync/atomic"
)

// Memo keeps values by key. It is safe for concurrent use; a value is computed
// once, also when several ask for it at a time. When the next one would take
// more than the bound it begins again: keys that do not recur are not worth
// keeping. The zero value keeps nothing; set Bound.
type Memo[T any] struct {
	// Bound is the memory of all values, bytes.
	Bound int
	// Size is the memory of one value, bytes.
	Size int

	mu sync.Mutex
	of map[string]*entry[T]
}

type entry[T any] struct {
	asked int
	done  atomic.Bool
	once  sync.Once
	value T
	err   error
}

// overhead is what an entry takes besides its value, about, bytes.
const overhead = 200

// Get returns the value of key, computing it at first use. An error is kept
// too.
func (m *Memo[T]) Get(key []byte, compute func() (T, error)) (T, error) {
	m.mu.Lock()
	e := m.entry(key)
	m.mu.Unlock()
	e.once.Do(func() {
		e.value, e.err = compute()
		e.done.Store(true)
	})
	return e.value, e.err
}

// Peek returns the value of key where it was computed without an error.
func (m *Memo[T]) Peek(key []byte) (v T, ok bool) {
	m.mu.Lock()
	e := m.of[string(key)]
	m.mu.Unlock()
	if e == nil || !e.done.Load() || e.err != nil {
		return v, false
	}
	return e.value, true
}

// Ask counts how often the value of key was asked about since it was last kept,
// this time included.
func (m *Memo[T]) Ask(key []byte) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(key)
	e.asked++
	return e.asked
}

// entry finds or makes an entry; m is locked.
func (m *Memo[T]) entry(key []byte) *entry[T] {
	e := m.of[string(key)]
	if e == nil {
		if m.of == nil || (len(m.of)+1)*(m.Size+len(key)+overhead) > m.Bound {
			m.of = map[string]*entry[T]{}
		}
		e = &entry[T]{}
		m.of[string(key)] = e
	}
	return e
}
