package memo

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// A value is computed once, however many ask for it at a time, and errors are
// kept too.
func TestOnce(t *testing.T) {
	m := Memo[int]{Bound: 1 << 20, Size: 8}
	var computed atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if v, err := m.Get([]byte("a"), func() (int, error) { computed.Add(1); return 7, nil }); v != 7 || err != nil {
				t.Errorf("%d, %v", v, err)
			}
		})
	}
	wg.Wait()
	if computed.Load() != 1 {
		t.Errorf("computed %d times", computed.Load())
	}
	bad := errors.New("bad")
	for range 2 {
		if _, err := m.Get([]byte("b"), func() (int, error) { computed.Add(1); return 0, bad }); err != bad {
			t.Error(err)
		}
	}
	if computed.Load() != 2 {
		t.Errorf("an error is computed %d times", computed.Load()-1)
	}
}

// The bound holds whatever is asked, and a value that is larger than the bound
// is given all the same.
func TestBound(t *testing.T) {
	m := Memo[int]{Bound: 10 * (8 + 2 + overhead), Size: 8}
	for round := range 3 {
		for k := range 50 {
			v, err := m.Get(fmt.Appendf(nil, "%02d", k), func() (int, error) { return k, nil })
			if v != k || err != nil {
				t.Fatalf("round %d: %d is %d, %v", round, k, v, err)
			}
			if len(m.of) > 10 {
				t.Fatalf("%d values are kept", len(m.of))
			}
		}
	}
	var none Memo[int]
	if v, err := none.Get([]byte("a"), func() (int, error) { return 3, nil }); v != 3 || err != nil {
		t.Errorf("the zero memo: %d, %v", v, err)
	}
}

func TestAsk(t *testing.T) {
	m := Memo[int]{Bound: 1 << 20, Size: 8}
	for want := 1; want < 5; want++ {
		if got := m.Ask([]byte("a")); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	if got := m.Ask([]byte("b")); got != 1 {
		t.Errorf("another key was asked %d times", got)
	}
}
