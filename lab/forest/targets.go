package forest

import (
	"math"
	"math/bits"
	"slices"
)

// Outputs are handled four at a time, in planes: the last plane is filled up
// with zeros. Most systems need one.
const planeWidth = 4

// sum is the weighted sum of the targets of some rows, for one plane. Sums of
// whole numbers are exact: they depend neither on the order of the rows nor on
// whether they were added up or subtracted from a larger sum.
type sum struct {
	y [planeWidth]float64
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
	return centre{s.y[0] / w, s.y[1] / w, s.y[2] / w, s.y[3] / w}
}

// deviation returns the squared length of s less count times m. For the left
// part of a node with mean m, this times (1/left count + 1/right count) is the
// reduction of the node's sum of squares.
func (s *sum) deviation(m *centre) float64 {
	w := float64(s.count())
	a := s.y[0] - float64(w*m[0])
	b := s.y[1] - float64(w*m[1])
	c := s.y[2] - float64(w*m[2])
	d := s.y[3] - float64(w*m[3])
	return (float64(a*a) + float64(c*c)) + (float64(b*b) + float64(d*d))
}

// targets are what growing needs to know of the training data, besides codes.
type targets struct {
	planes     int
	cells      cells
	fixed      [][planeWidth]float64   // planes x rows in the order of cells.row: centred and scaled to whole numbers
	reciprocal []float64               // 1/i at i, NaN at 0
	class      []uint32                // rows of one class have the same targets
	bins       [][denseFeatures]uint16 // of dense data: item.bin of each cell
	order      [][]uint32              // of other data, per feature: cells by their codes
}

func newTargets(d *training, cfg Config) *targets {
	t := &targets{
		planes:     (d.outputs + planeWidth - 1) / planeWidth,
		cells:      newCells(d),
		reciprocal: make([]float64, d.rows+1),
		class:      classes(d),
	}
	if isDense(d, cfg) {
		t.bins = cellBins(d, &t.cells)
	} else {
		t.order = t.cells.sorted(d)
	}
	for i := range t.reciprocal {
		t.reciprocal[i] = 1 / float64(i)
	}
	t.reciprocal[0] = math.NaN()
	mean := make([]float64, d.outputs)
	for i := range d.rows {
		for o := range mean {
			mean[o] += d.y[i*d.outputs+o] / float64(d.rows)
		}
	}
	// One scale for all outputs, since their variances are summed as they are.
	// The largest value times the number of rows stays below 2^52.
	largest := 0.0
	for i := range d.rows {
		for o := range mean {
			largest = math.Max(largest, math.Abs(d.y[i*d.outputs+o]-mean[o]))
		}
	}
	_, exponent := math.Frexp(largest)
	scale := 52 - bits.Len(uint(d.rows)) - exponent
	t.fixed = make([][planeWidth]float64, t.planes*d.rows)
	for k, row := range t.cells.row {
		for o := range mean {
			v := math.Ldexp(d.y[int(row)*d.outputs+o]-mean[o], scale)
			t.fixed[o/planeWidth*d.rows+k][o%planeWidth] = math.RoundToEven(v)
		}
	}
	return t
}

// classes numbers the distinct rows of targets, by the first row that has them.
func classes(d *training) []uint32 {
	class := make([]uint32, d.rows)
	// A hash table of row numbers plus 1, at most half full.
	size := 1 << bits.Len(uint(2*d.rows-1))
	table := make([]uint32, size)
	for i := range d.rows {
		y := d.y[i*d.outputs : (i+1)*d.outputs]
		h := uint64(0)
		for _, v := range y {
			h = (h ^ math.Float64bits(v+0)) * 0x9e3779b97f4a7c15 // +0 makes -0 into 0
			h ^= h >> 32
		}
		k := int(h) & (size - 1)
		for table[k] != 0 && !slices.Equal(y, d.y[int(table[k]-1)*d.outputs:int(table[k])*d.outputs]) {
			k = (k + 1) & (size - 1)
		}
		if table[k] == 0 {
			table[k] = uint32(i) + 1
		}
		class[i] = table[k] - 1
	}
	return class
}
