package importer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/trace"
)

// unit turns a cell's number into the trace's: times mul, over div. Both are
// kept, so that 35 % is .35 and not 35 times the float64 next to .01.
type unit struct {
	name     string
	mul, div float64
	usual    bool // the trace's own
}

func (u unit) of(v, scale float64) float64 { return v * scale * u.mul / u.div }

var delayUnits = []unit{{"s", 1, 1, true}, {"ms", 1, 1e3, false}, {"us", 1, 1e6, false}, {"ns", 1, 1e9, false}, {"min", 60, 1, false}}

// unitOf is the unit of that name for what a field holds; row is the s that a
// row is about.
func unitOf(name string, kind trace.Kind, row float64) (unit, error) {
	refuse := func(accepted string) (unit, error) {
		return unit{}, fmt.Errorf("unit %q; accepted: %s", name, accepted)
	}
	switch kind {
	case trace.Rate:
		switch name {
		case "", "requests/s":
			return unit{"requests/s", 1, 1, true}, nil
		case "requests/min":
			return unit{name, 1, 60, false}, nil
		case "requests/h":
			return unit{name, 1, 3600, false}, nil
		case "requests/row":
			return unit{name, 1, row, false}, nil
		}
		seconds, ok := strings.CutPrefix(name, "requests/")
		if seconds, ok2 := strings.CutSuffix(seconds, "s"); ok && ok2 {
			if n, err := strconv.ParseFloat(strings.TrimSpace(seconds), 64); err == nil && n > 0 && n <= 86400 {
				return unit{name, 1, n, false}, nil
			}
		}
		return refuse("requests/s, requests/min, requests/h, requests/row, requests/Ns for N seconds")
	case trace.Count:
		switch name {
		case "", "requests":
			return unit{"requests", 1, 1, true}, nil
		case "requests/s":
			return unit{name, row, 1, false}, nil
		}
		return refuse("requests, requests/s")
	case trace.Fraction:
		switch name {
		case "", "fraction":
			return unit{"fraction", 1, 1, true}, nil
		case "%":
			return unit{name, 1, 100, false}, nil
		}
		return refuse("fraction, %")
	case trace.Seconds:
		var names []string
		for _, u := range delayUnits {
			if name == u.name || name == "" {
				return u, nil
			}
			names = append(names, u.name)
		}
		return refuse(strings.Join(names, ", "))
	}
	if name != "" {
		return refuse("none, for the knob has its own; scale says the rest")
	}
	return unit{"", 1, 1, true}, nil
}

// clock reads cells of time.
type clock struct {
	accepted string
	dated    bool // times are of a calendar, not since any moment
	parse    func(s string) (time.Time, error)
}

// clockOf is the clock of that unit.
func clockOf(name, decimal string) (clock, error) {
	counted := func(unit time.Duration, dated bool) clock {
		accepted := fmt.Sprintf("a number of %s since 1970", unit)
		if !dated {
			accepted = fmt.Sprintf("a number of %s", unit)
		}
		return clock{accepted, dated, func(s string) (time.Time, error) {
			// Whole numbers exactly: of nanoseconds a float64 has too few digits.
			if n, err := strconv.ParseInt(s, 10, 64); err == nil && n/int64(time.Second/unit) < 1<<37 && n >= 0 {
				per := int64(time.Second / unit)
				return time.Unix(n/per, n%per*int64(unit)).UTC(), nil
			}
			v, ok := parseNumber(s, decimal)
			v *= unit.Seconds()
			if !ok || !(v >= 0 && v < 1<<37) {
				return time.Time{}, strconv.ErrSyntax
			}
			whole := int64(v)
			return time.Unix(whole, int64((v-float64(whole))*1e9)).UTC(), nil
		}}
	}
	switch name {
	case "", "rfc3339":
		return clock{"a time such as 2026-01-31T12:00:00Z", true, func(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) }}, nil
	case "unix":
		return counted(time.Second, true), nil
	case "unix ms":
		return counted(time.Millisecond, true), nil
	case "unix us":
		return counted(time.Microsecond, true), nil
	case "unix ns":
		return counted(time.Nanosecond, true), nil
	case "s":
		return counted(time.Second, false), nil
	case "ms":
		return counted(time.Millisecond, false), nil
	}
	if !strings.Contains(name, "05") && !strings.Contains(name, "04") {
		return clock{}, fmt.Errorf("unit %q of time; accepted: rfc3339, unix, unix ms, unix us, unix ns, s, ms, or a layout of package time such as \"2006-01-02 15:04:05\"", name)
	}
	return clock{"a time such as " + name, true, func(s string) (time.Time, error) { return time.Parse(name, s) }}, nil
}

// parseNumber reads a decimal number. Spellings of infinity and NaN are none, nor
// are points where the decimal sign is a comma: they could be of thousands.
func parseNumber(s, decimal string) (float64, bool) {
	if decimal == "," {
		if strings.Contains(s, ".") {
			return 0, false
		}
		s = strings.Replace(s, ",", ".", 1)
	}
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}
