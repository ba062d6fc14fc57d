package sweep_test

import (
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/sweep"
)

// The file of a sweep is a list of tasks, or refused in one short line.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"name: a",
		"name: rates\nobjectives: [MO1, MO2]\nsteps: 20480\nsettings:\n  - of: paper\n    grid: {ppo.LearningRate: [0.001, 0.003]}\n  - {of: paper, name: wide, change: {ppo.Hidden: [96, 96]}}\nrandom: 2\ndraw: 7",
		"name: a\nloads: [random, uniform]\nseeds: [18446744073709551615]",
		"name: a\nsettings: [{change: {observation.knots: .nan}}]",
		"name: a\nsettings: &x [{grid: {ppo.Gamma: [.inf, 1e400, null, {a: *x}]}}]",
	} {
		f.Add([]byte(text))
	}
	src := []sweep.Source{{Scenario: scenario.Paper()}}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<12 {
			return
		}
		s, err := sweep.Parse(text)
		if err == nil {
			_, err = s.Tasks(src)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 2000) {
			t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
		}
	})
}
