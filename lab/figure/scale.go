package figure

import (
	"math"
	"strconv"
	"strings"
)

// mostTicks bounds the labels of an axis.
const mostTicks = 7

// Bounds of what a logarithmic axis shows: beyond, a power of ten has no number.
const (
	leastLog = 1e-300
	mostLog  = 1e300
)

// axis is one axis of a chart. It sees the data, and is then resolved.
type axis struct {
	label    string
	log      bool
	round    bool     // with room beside the data and 4 ticks at least
	from, to float64  // ends beside which no room is needed, where the data end there
	names    []string // of the values 0, 1, ... in place of numbers

	lo, hi float64 // of what it has seen; lo above hi for nothing yet
	parts  bool    // some of it is not whole

	min, max float64
	ticks    []tick
	minor    []float64
}

type tick struct {
	value float64
	label string
}

func newAxis(label string, log bool) *axis {
	return &axis{label: label, log: log, from: math.NaN(), to: math.NaN(), lo: math.Inf(1), hi: math.Inf(-1)}
}

// shows says whether v has a place on the axis.
func (a *axis) shows(v float64) bool { return finite(v) && (!a.log || v > 0) }

// see makes room for values.
func (a *axis) see(values ...float64) {
	for _, v := range values {
		if a.shows(v) {
			a.lo, a.hi = min(a.lo, v), max(a.hi, v)
			a.parts = a.parts || v != math.Trunc(v)
		}
	}
}

// share gives axes that are compared the same range.
func share(axes ...*axis) {
	for range 2 {
		for _, a := range axes {
			axes[0].see(a.lo, a.hi)
			a.see(axes[0].lo, axes[0].hi)
		}
	}
}

// at is the place of v as a share of the axis.
func (a *axis) at(v float64) float64 {
	if a.log {
		v = min(max(v, a.min), a.max)
		return (math.Log(v) - math.Log(a.min)) / (math.Log(a.max) - math.Log(a.min))
	}
	// Halves, since the range of float64 is wider than its largest value.
	return (v/2 - a.min/2) / (a.max/2 - a.min/2)
}

// resolve sets the ends of the axis and its ticks.
func (a *axis) resolve() {
	switch {
	case a.names != nil:
		a.min, a.max = -.5, float64(len(a.names))-.5
		a.ticks = nil
		for k, n := range a.names {
			a.ticks = append(a.ticks, tick{float64(k), n})
		}
	case a.log:
		a.resolveLog()
	default:
		a.resolveLinear()
	}
}

func (a *axis) resolveLinear() {
	lo, hi := a.lo, a.hi
	if lo > hi {
		lo, hi = 0, 1
	}
	middle, half := lo/2+hi/2, hi/2-lo/2
	flat := 1e-12 // no more than rounding
	if a.round {
		flat = 1.25e-3 // noise, if shown on all of the axis
	}
	if size := max(math.Abs(lo), math.Abs(hi)); half <= flat*size || size < 1e-300 {
		pad := math.Abs(middle) / 10
		if size < 1e-300 {
			pad = 1
		}
		if !a.round && pad > 1 && pad/10 > 1 && math.Abs(middle) < 1e6 {
			pad = 1 // a single step of many
		}
		lo, hi = max(middle-pad, -math.MaxFloat64), min(middle+pad, math.MaxFloat64)
	}
	if a.round {
		// Room beside the outermost values, but not to both sides of 0.
		room := (hi/2 - lo/2) * .08
		if low := lo - room; lo != a.from && !(lo >= 0 && low < 0) {
			lo = max(low, -math.MaxFloat64)
		} else if lo > 0 && lo != a.from {
			lo = 0
		}
		if high := hi + room; hi != a.to && !(hi <= 0 && high > 0) {
			hi = min(high, math.MaxFloat64)
		} else if hi < 0 && hi != a.to {
			hi = 0
		}
	}
	s := steps(lo, hi, !a.parts && hi-lo >= 3)
	if a.round && s.last-s.first < 3 {
		// A fourth tick on the side where it is nearer.
		below, above := s.value(s.first-1), s.value(s.last+1)
		if (lo-below < above-hi || math.IsInf(above, 0)) && !math.IsInf(below, 0) {
			s.first, lo = s.first-1, below
		} else if !math.IsInf(above, 0) {
			s.last, hi = s.last+1, above
		}
	}
	a.min, a.max = lo, hi
	first, last := s.first, s.last
	// Labels of many digits that differ in the last: from the first on.
	base := 0.
	if max(math.Abs(first), math.Abs(last)) >= 1e5 {
		base = first
		label := s.label(base)
		if a.label != "" {
			label = a.label + ", from " + label
		} else {
			label = "from " + label
		}
		a.label = label
	}
	a.ticks = nil
	for k := first; k <= last; k++ {
		a.ticks = append(a.ticks, tick{s.value(k), s.label(k - base)})
	}
}

// stepping is ticks at the multiples first to last of mantissa * 10^exponent.
type stepping struct {
	mantissa, exponent int
	first, last        float64
}

// steps chooses steps of 1, 2 or 5 times a power of ten so that no more than 7
// ticks lie from lo to hi; of 2.5 times where these give fewer than 4. There
// are 3 at least. Whole steps count things, of which there are no parts.
func steps(lo, hi float64, whole bool) stepping {
	within := func(m, e int) (s stepping, n float64) {
		s = stepping{mantissa: m, exponent: e}
		a, b := s.in(lo), s.in(hi)
		slack := 1e-9 * max(1, (b-a)*1e-3)
		s.first, s.last = math.Ceil(a-slack), math.Floor(b+slack)
		return s, s.last - s.first + 1
	}
	for e := int(math.Floor(math.Log10(hi/2-lo/2))) - 3; ; e++ {
		for _, m := range []int{10, 20, 50} {
			s, n := within(m, e)
			if n > mostTicks || whole && !s.whole() {
				continue
			}
			if n < 4 && m == 50 {
				if finer, n := within(25, e); n <= mostTicks && (finer.whole() || !whole) {
					return finer
				}
			}
			return s
		}
	}
}

// in is v in steps.
func (s stepping) in(v float64) float64 {
	m := float64(s.mantissa)
	switch {
	case s.exponent < -300: // two steps, since 10^-e would overflow
		return v * 1e300 * math.Pow10(-s.exponent-300) / m
	case s.exponent < 0:
		return v * math.Pow10(-s.exponent) / m
	}
	return v / math.Pow10(s.exponent) / m
}

// value is k steps, the number nearest to its decimal form.
func (s stepping) value(k float64) float64 {
	v, _ := strconv.ParseFloat(strconv.FormatFloat(k*float64(s.mantissa), 'f', -1, 64)+"e"+strconv.Itoa(s.exponent), 64)
	return v
}

// whole says whether a step is.
func (s stepping) whole() bool { return s.value(1) == math.Trunc(s.value(1)) }

// label is k steps as text.
func (s stepping) label(k float64) string { return plain(s.value(k)) }

func (a *axis) resolveLog() {
	lo, hi := a.lo, a.hi
	if lo > hi {
		lo, hi = 1, 10
	}
	lo, hi = min(max(lo, leastLog), mostLog), min(max(hi, leastLog), mostLog)
	if hi/lo < 1.0025 { // one value, or as good as one
		middle := math.Sqrt(lo) * math.Sqrt(hi)
		lo, hi = max(middle/2, leastLog/10), min(middle*2, mostLog*10)
	}
	a.ticks, a.minor = nil, nil
	of := oneTwoFive(lo, hi)
	switch n := len(of); {
	case n < 4:
		a.min, a.max = of[0], of[n-1]
		s := steps(a.min, a.max, false)
		for k := s.first; k <= s.last; k++ {
			a.ticks = append(a.ticks, tick{s.value(k), s.label(k)})
		}
	case n <= mostTicks:
		a.min, a.max = of[0], of[n-1]
		for _, v := range of {
			a.ticks = append(a.ticks, tick{v, plain(v)})
		}
	default:
		first, last := int(math.Floor(math.Log10(lo)+1e-9)), int(math.Ceil(math.Log10(hi)-1e-9))
		stride := 1
		for _, stride = range []int{1, 2, 5, 10, 20, 50, 100, 200} {
			if (last-first)/stride < mostTicks-1 {
				break
			}
		}
		for e := first; e <= last; e++ {
			if (e%stride+stride)%stride == 0 {
				a.ticks = append(a.ticks, tick{pow10(e), plain(pow10(e))})
			}
		}
		a.min, a.max = min(pow10(first), lo), max(pow10(last), hi)
	}
	if a.round { // room beside values at the ends
		room := math.Exp((math.Log(a.max) - math.Log(a.min)) * .03)
		if lo < a.min*room && a.min/room > leastLog/10 {
			a.min /= room
		}
		if hi > a.max/room && a.max*room < mostLog*10 {
			a.max *= room
		}
	}
	if first, last := math.Log10(a.min), math.Log10(a.max); last-first < 7 {
		for e := math.Floor(first); e <= last; e++ {
			for m := 2.; m < 10; m++ {
				if v := m * pow10(int(e)); v > a.min && v < a.max {
					a.minor = append(a.minor, v)
				}
			}
		}
	}
}

// oneTwoFive are 1, 2 and 5 times powers of ten, from the last at or below lo
// to the first at or above hi; no more than twice as many as an axis has.
func oneTwoFive(lo, hi float64) (out []float64) {
	for e := int(math.Floor(math.Log10(lo))) - 1; ; e++ {
		for _, m := range []string{"1", "2", "5"} {
			v, _ := strconv.ParseFloat(m+"e"+strconv.Itoa(e), 64)
			if v <= lo*(1+1e-9) {
				out = []float64{v}
				continue
			}
			out = append(out, v)
			if v >= hi*(1-1e-9) || len(out) > 2*mostTicks {
				return out
			}
		}
	}
}

// pow10 is 10^e with the last bit right, which math.Pow10 need not give.
func pow10(e int) float64 {
	v, _ := strconv.ParseFloat("1e"+strconv.Itoa(e), 64)
	return v
}

// plain is v as short as it can be, with a true minus: 25, −0.3, 2.5e−7.
func plain(v float64) string {
	if v == 0 {
		return "0"
	}
	format := byte('f')
	if m := math.Abs(v); m < 1e-4 || m >= 1e6 {
		format = 'e'
	}
	return minus(strconv.FormatFloat(v, format, -1, 64))
}

// decimal is v with so many decimals, with a true minus.
func decimal(v float64, decimals int) string {
	switch m := math.Abs(v); {
	case math.IsNaN(v):
		return "?"
	case math.IsInf(v, 1):
		return "∞"
	case math.IsInf(v, -1):
		return "−∞"
	case m >= 1e6:
		return minus(strconv.FormatFloat(v, 'e', 2, 64))
	}
	s := strconv.FormatFloat(v, 'f', max(0, decimals), 64)
	if strings.Trim(s, "-0.") == "" {
		s = strings.TrimPrefix(s, "-")
	}
	return minus(s)
}

// minus writes a number as in print: 1e+08 as 1e8, 1e-07 as 1e−7.
func minus(s string) string {
	if m, e, ok := strings.Cut(s, "e"); ok {
		sign := ""
		if e[0] == '-' {
			sign = "-"
		}
		s = m + "e" + sign + strings.TrimLeft(e[1:], "0")
		if strings.HasSuffix(s, "e") || strings.HasSuffix(s, "e-") {
			s = m
		}
	}
	return strings.ReplaceAll(s, "-", "−")
}
