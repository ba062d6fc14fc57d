package virtual

import "math"

// event is the end of a request's stage. It counts for nothing where the request
// has another by now.
type event struct {
	at      float64
	number  uint64 // of those at one moment the first comes first
	request *request
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.number < o.number }

// events is a binary heap: container/heap, which takes interfaces, is half as
// fast.
type events struct {
	heap   []event
	number uint64
}

// first is when the first event is, +Inf for none.
func (h *events) first() float64 {
	if len(h.heap) == 0 {
		return math.Inf(1)
	}
	return h.heap[0].at
}

// push adds an event, which takes the place of the request's event before.
func (h *events) push(at float64, r *request) {
	h.number++
	e := event{at, h.number, r}
	r.event = e.number
	h.heap = append(h.heap, e)
	k := len(h.heap) - 1
	for k > 0 {
		parent := (k - 1) / 2
		if !e.before(h.heap[parent]) {
			break
		}
		h.heap[k] = h.heap[parent]
		k = parent
	}
	h.heap[k] = e
}

func (h *events) pop() event {
	first := h.heap[0]
	last := len(h.heap) - 1
	e := h.heap[last]
	h.heap = h.heap[:last]
	k := 0
	for {
		child := 2*k + 1
		if child >= last {
			break
		}
		if child+1 < last && h.heap[child+1].before(h.heap[child]) {
			child++
		}
		if !h.heap[child].before(e) {
			break
		}
		h.heap[k] = h.heap[child]
		k = child
	}
	if last > 0 {
		h.heap[k] = e
	}
	return first
}
