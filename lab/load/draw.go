package load

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Streams of random numbers. Each use has its own, so that the arrivals of a
// step do not depend on the draw of its load.
const (
	streamLoad uint64 = iota + 1
	streamArrivals
	streamMixed
	streamSwitching
	streamStart
	streamHeight
	streamHold
	streamCrowd
	streamNoise
	streamBursty
	streamReplay
)

// source is the generator of one (seed, stream, step, service). Neighbouring
// steps and services differ in few bits, so the words are mixed first.
func source(seed, stream uint64, t, service int) rand.PCG {
	var p rand.PCG
	p.Seed(mix(seed^mix(stream)), mix(uint64(t))^mix(^uint64(service)))
	return p
}

// mix is the finaliser of SplitMix64: every input bit reaches every output bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is a uniform number in [0, 1).
func unit(p *rand.PCG) float64 { return fraction(p.Uint64()) }

// fraction makes a number in [0, 1) of the high bits of x.
func fraction(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// draw is the first uniform number in [0, 1) of one (seed, stream, k, service).
func draw(seed, stream uint64, k, service int) float64 {
	p := source(seed, stream, k, service)
	return unit(&p)
}

// noise is a standard normal number that stays alike over about so many steps:
// independent ones every so many steps, and between them their weighted sum of
// the same variance. It correlates by 1/2 one such stretch apart at most, and
// not at all two apart.
func noise(seed uint64, t, every, service int) float64 {
	k, f := t/every, float64(t%every)/float64(every)
	a, b := normal(seed, k, service), normal(seed, k+1, service)
	return (float64((1-f)*a) + float64(f*b)) / math.Sqrt(float64((1-f)*(1-f))+float64(f*f))
}

// normal is a standard normal number, by Box and Muller's transform.
func normal(seed uint64, k, service int) float64 {
	p := source(seed, streamNoise, k, service)
	radius := math.Sqrt(-2 * math.Log(1-unit(&p)))
	return radius * math.Cos(2*math.Pi*unit(&p))
}

// pick is a uniform number in {0..n-1}.
func pick(p *rand.PCG, n int) int {
	hi, _ := bits.Mul64(p.Uint64(), uint64(n))
	return int(hi)
}

// sized returns dst, allocated when nil, as a load of m services.
func sized(dst mesh.Load, m int) mesh.Load {
	if dst == nil {
		return make(mesh.Load, m)
	}
	if len(dst) != m {
		panic(fmt.Sprintf("load: destination for %d services; the pattern has %d", len(dst), m))
	}
	return dst
}

// round rounds x to a multiple of quantum; no rounding for quantum <= 0.
// Dividing by the inverse keeps decimal fractions exact: 18.7, not 18.7000...3.
// Ties go up, also where the last bits of a sine fell short of one.
func round(x, quantum float64) float64 {
	if quantum <= 0 {
		return x
	}
	inverse := 1 / quantum
	return math.Round(float64(x*inverse)+1e-9) / inverse
}

// or is x, or the default where x is zero.
func or[T comparable](x, def T) T {
	var zero T
	if x == zero {
		return def
	}
	return x
}
