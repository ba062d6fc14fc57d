package load

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Names lists what Parse accepts.
func Names() []string {
	return []string{"random", "uniform", "sinusoidal", "diurnal", "bursty", "ramp", "step", "flashcrowd", "constant",
		"constant:RATE", "constant:RATE,RATE...", "replay:FILE", "NAME:OPTION=VALUE,...", "mixed:NAME+NAME...", "switching:NAME+NAME..."}
}

// Parse returns the named pattern with its defaults for services of the given
// ranges.
//
// "constant:20" is 20 requests/s for each service, "constant:20,5" gives each
// its own, "replay:loads.csv" repeats the loads of a CSV file or trace.
//
// Other patterns take options, "diurnal:period=360,noise=0": sinusoidal has
// period and jitter; diurnal has period, second, noise, correlation and jitter;
// bursty has low and high, the mean steps in either regime, and shared, 1 for
// all services at once; ramp has up, high, down, low and jitter; step has every
// and jitter; flashcrowd has service, counted from 1 and 0 for any, start, rise,
// hold, fall, every and jitter. They are the fields of these names; 0 is none.
//
// "mixed:random+uniform" is Mixed of what stands between the signs,
// "switching:ramp+bursty" Switching; a replay comes last in them.
func Parse(name string, ranges Ranges) (Pattern, error) {
	kind, arg, given := strings.Cut(name, ":")
	switch kind {
	case "constant":
		if !given {
			return Constant{Load: ranges.Mid()}, nil
		}
		return parseConstant(arg, len(ranges))
	case "replay":
		if !given {
			return nil, fmt.Errorf("load: pattern %q needs a file: replay:FILE", name)
		}
		return ReadReplay(arg, len(ranges))
	case "mixed", "switching":
		parts, err := parseParts(name, arg, ranges)
		if err != nil {
			return nil, err
		}
		if kind == "mixed" {
			return Mixed(parts), nil
		}
		return Switching{Patterns: parts}, nil
	}
	p, options := optioned(kind, ranges)
	if p == nil || given && options == nil {
		return nil, fmt.Errorf("load: unknown pattern %q; accepted: %s", name, strings.Join(Names(), ", "))
	}
	if given {
		if err := setOptions(arg, options); err != nil {
			return nil, fmt.Errorf("load: pattern %s: %w", name, err)
		}
	}
	return p(), nil
}

// optioned is what makes a pattern of the kind, and the options to be set
// before; nil for a kind that is not known.
func optioned(kind string, ranges Ranges) (func() Pattern, []option) {
	const steps = 1e6
	switch kind {
	case "random":
		return func() Pattern { return Random{Ranges: ranges} }, nil
	case "uniform":
		return func() Pattern { return Uniform{Ranges: ranges} }, nil
	case "sinusoidal":
		p := Sinusoidal{Ranges: ranges}
		return func() Pattern { return p }, []option{whole("period", &p.Period, 1, steps), number("jitter", &p.Jitter, 0, 1)}
	case "diurnal":
		p := Diurnal{Ranges: ranges}
		return func() Pattern { return p }, []option{whole("period", &p.Period, 1, steps), number("second", &p.Second, .01, 1),
			number("noise", &p.Noise, 0, 2).orNone(), whole("correlation", &p.Correlation, 1, steps), number("jitter", &p.Jitter, 0, 1)}
	case "bursty":
		p, shared := Bursty{Ranges: ranges, Regimes: append([]Regime(nil), defaultRegimes...)}, 0
		return func() Pattern { p.Shared = shared == 1; return p }, []option{number("low", &p.Regimes[0].Sojourn, 2, maxSojourn),
			number("high", &p.Regimes[1].Sojourn, 2, maxSojourn), whole("shared", &shared, 0, 1)}
	case "ramp":
		p := Ramp{Ranges: ranges}
		return func() Pattern { return p }, []option{whole("up", &p.Up, 0, steps).orNone(), whole("high", &p.High, 1, steps),
			whole("down", &p.Down, 0, steps).orNone(), whole("low", &p.Low, 0, steps).orNone(), number("jitter", &p.Jitter, 0, 1)}
	case "step":
		p := Step{Ranges: ranges}
		return func() Pattern { return p }, []option{whole("every", &p.Every, 1, steps), number("jitter", &p.Jitter, 0, 1)}
	case "flashcrowd":
		p, service := FlashCrowd{Ranges: ranges}, 1
		return func() Pattern { p.Service = service - 1; return p }, []option{whole("service", &service, 0, float64(len(ranges))),
			whole("start", &p.Start, 0, steps).orNone(), whole("rise", &p.Rise, 0, steps).orNone(), whole("hold", &p.Hold, 1, steps),
			whole("fall", &p.Fall, 0, steps).orNone(), whole("every", &p.Every, 0, steps), number("jitter", &p.Jitter, 0, 1)}
	}
	return nil, nil
}

// option is a field that Parse can set.
type option struct {
	name        string
	least, most float64
	whole       bool
	none        bool // the field's 0 stands for a default, and -1 for none
	store       func(float64)
}

func number(name string, field *float64, least, most float64) option {
	return option{name: name, least: least, most: most, store: func(x float64) { *field = x }}
}

func whole(name string, field *int, least, most float64) option {
	return option{name: name, least: least, most: most, whole: true, store: func(x float64) { *field = int(x) }}
}

func (o option) orNone() option {
	o.none = true
	return o
}

func (o option) set(text string) error {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= o.least && x <= o.most) || o.whole && x != math.Trunc(x) {
		kind := "number"
		if o.whole {
			kind = "whole number"
		}
		return fmt.Errorf("option %s is %q; accepted: a %s from %s to %s", o.name, text, kind,
			strconv.FormatFloat(o.least, 'f', -1, 64), strconv.FormatFloat(o.most, 'f', -1, 64))
	}
	if o.none && x == 0 {
		x = -1
	}
	o.store(x)
	return nil
}

// setOptions sets "name=value,name=value".
func setOptions(text string, options []option) error {
	var names []string
	for _, o := range options {
		names = append(names, o.name)
	}
	set := map[string]bool{}
	for _, field := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(field, "=")
		k := slices.Index(names, name)
		if k < 0 {
			return fmt.Errorf("unknown option %q; accepted: %s", name, strings.Join(names, ", "))
		}
		if set[name] {
			return fmt.Errorf("option %s is there twice", name)
		}
		set[name] = true
		if err := options[k].set(value); err != nil {
			return err
		}
	}
	return nil
}

// parseParts are the patterns of a mixture. A file's name may have any sign in
// it, so a replay is the last of them.
func parseParts(name, arg string, ranges Ranges) ([]Pattern, error) {
	var parts []Pattern
	for more := true; more; {
		part := arg
		if more = !strings.HasPrefix(arg, "replay:"); more {
			part, arg, more = strings.Cut(arg, "+")
		}
		if kind, _, _ := strings.Cut(part, ":"); kind == "mixed" || kind == "switching" {
			return nil, fmt.Errorf("load: pattern %s: %s in a mixture; accepted: patterns that are none", name, kind)
		}
		p, err := Parse(part, ranges)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func parseConstant(arg string, m int) (Pattern, error) {
	fields := strings.Split(arg, ",")
	if len(fields) != 1 && len(fields) != m {
		return nil, fmt.Errorf("load: pattern constant:%s has %d rates; accepted: 1 or %d", arg, len(fields), m)
	}
	l := make(mesh.Load, m)
	for i := range l {
		field := fields[i%len(fields)]
		x, err := strconv.ParseFloat(field, 64)
		if err != nil || !(x >= 0) || math.IsInf(x, 1) {
			return nil, fmt.Errorf("load: pattern constant:%s: %q is not a rate; accepted: a finite number >= 0 in requests/s", arg, field)
		}
		l[i] = x
	}
	return Constant{Load: l}, nil
}
