package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Names lists what Parse accepts.
func Names() []string {
	return []string{"random", "uniform", "sinusoidal", "constant", "step", "flashcrowd",
		"constant:RATE", "constant:RATE,RATE...", "replay:FILE"}
}

// Parse returns the named pattern with its defaults for services of the given
// ranges.
// "constant:20" is 20 requests/s for each service, "constant:20,5" gives each
// its own, "replay:loads.csv" repeats the loads of a CSV file or trace.
func Parse(name string, ranges Ranges) (Pattern, error) {
	kind, arg, given := strings.Cut(name, ":")
	if given && kind != "constant" && kind != "replay" {
		return nil, unknown(name)
	}
	switch kind {
	case "random":
		return Random{Ranges: ranges}, nil
	case "uniform":
		return Uniform{Ranges: ranges}, nil
	case "sinusoidal":
		return Sinusoidal{Ranges: ranges}, nil
	case "constant":
		if !given {
			return Constant{Load: ranges.Mid()}, nil
		}
		return parseConstant(arg, len(ranges))
	case "step":
		return Step{Ranges: ranges}, nil
	case "flashcrowd":
		return FlashCrowd{Ranges: ranges}, nil
	case "replay":
		if !given {
			return nil, fmt.Errorf("load: pattern %q needs a file: replay:FILE", name)
		}
		return ReadReplay(arg, len(ranges))
	}
	return nil, unknown(name)
}

func unknown(name string) error {
	return fmt.Errorf("load: unknown pattern %q; accepted: %s", name, strings.Join(Names(), ", "))
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
