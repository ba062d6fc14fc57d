package forest

import (
	"math"
	"math/bits"
)

// Outputs are handled four at a time, in planes: the last plane is filled up
// with zeros. Most systems need one.
const planeWidth = 4

// sum is the weighted sum of the targets of some rows, for one plane.
// Fixed-point sums are exact: they depend neither on the order of the rows nor
// on whether they were added up or subtracted from a larger sum.
type sum struct {
	y [planeWidth]int64
	n uint64 // bootstrap count << 32 | number of distinct rows
}

func (s *sum) add(t *sum) {
	s.y[0] += t.y[0]
	s.y[1] += t.y[1]
	s.y[2] += t.y[2]
	s.y[3] += t.y[3]
	s.n += t.n
}

func (s *sum) sub(t *sum) {
	s.y[0] -= t.y[0]
	s.y[1] -= t.y[1]
	s.y[2] -= t.y[2]
	s.y[3] -= t.y[3]
	s.n -= t.n
}

func (s *sum) rows() int    { return int(uint32(s.n)) }
func (s *sum) count() int64 { return int64(s.n >> 32) }

// centre is the mean of the targets of a node, for one plane.
type centre [planeWidth]float64

func (s *sum) mean() centre {
	w := float64(s.count())
	return centre{float64(s.y[0]) / w, float64(s.y[1]) / w, float64(s.y[2]) / w, float64(s.y[3]) / w}
}

// deviation returns the squared length of s less count times m. For the left
// part of a node with mean m, this times (1/left count + 1/right count) is the
// reduction of the node's sum of squares.
func (s *sum) deviation(m *centre) float64 {
	w := float64(s.count())
	a := float64(s.y[0]) - w*m[0]
	b := float64(s.y[1]) - w*m[1]
	c := float64(s.y[2]) - w*m[2]
	d := float64(s.y[3]) - w*m[3]
	return (a*a + b*b) + (c*c + d*d)
}

// targets are the targets in fixed point, and reciprocals of counts.
type targets struct {
	planes     int
	fixed      [][planeWidth]int64 // planes x rows
	reciprocal []float64           // 1/i at i
}

func newTargets(d *training) *targets {
	t := &targets{
		planes:     (d.outputs + planeWidth - 1) / planeWidth,
		reciprocal: make([]float64, d.rows+1),
	}
	for i := range t.reciprocal {
		t.reciprocal[i] = 1 / float64(i)
	}
	mean := make([]float64, d.outputs)
	for i := range d.rows {
		for o := range mean {
			mean[o] += d.y[i*d.outputs+o] / float64(d.rows)
		}
	}
	// One scale for all outputs, since their variances are summed as they are.
	// The largest value times the number of rows stays below 2^61.
	largest := 0.0
	for i := range d.rows {
		for o := range mean {
			largest = math.Max(largest, math.Abs(d.y[i*d.outputs+o]-mean[o]))
		}
	}
	_, exponent := math.Frexp(largest)
	scale := 61 - bits.Len(uint(d.rows)) - exponent
	t.fixed = make([][planeWidth]int64, t.planes*d.rows)
	for i := range d.rows {
		for o := range mean {
			v := math.Ldexp(d.y[i*d.outputs+o]-mean[o], scale)
			t.fixed[o/planeWidth*d.rows+i][o%planeWidth] = int64(math.RoundToEven(v))
		}
	}
	return t
}
