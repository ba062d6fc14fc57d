// Package card says of a policy or a model what it is: of which scenario, learned
// from what, how good, where it must not be used, and under which licence the data
// are. A card is in the artefact's file and, for people, as Markdown beside it.
package card

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
)

// What an artefact is.
const (
	Policy = "policy"
	Model  = "model"
)

// Card is what is said of an artefact. It has no time and no place: the same
// learning gives the same card.
type Card struct {
	What     string `json:"what"` // Policy or Model
	Scenario string `json:"scenario"`
	// ScenarioSHA256 is scenario.Scenario's Hash: tells scenarios of one name apart.
	ScenarioSHA256 string      `json:"scenarioSha256"`
	Mesh           string      `json:"mesh"`     // with its knobs, as mesh.Space prints them
	Services       []string    `json:"services"` // names
	Loads          load.Ranges `json:"loads"`    // that it was learned for, of each service
	Data           Data        `json:"data"`
	// Objective and Setting are how a policy was trained; "" for a model.
	Objective string `json:"objective,omitempty"`
	Setting   string `json:"setting,omitempty"`
	// Settings are all of them, of the policy's learner or the model's forests.
	Settings json.RawMessage `json:"settings"`
	Seed     uint64          `json:"seed"`
	// Expected says that a model's rewards are the mean over its draws, rather than
	// the reward of the mean step.
	Expected bool    `json:"expected,omitempty"`
	Scores   []Score `json:"scores"`
	// Limits are where it must not be used, a sentence each.
	Limits []string `json:"limits"`
}

// Data is a trace that was learned from.
type Data struct {
	Title   string `json:"title"`
	SHA256  string `json:"sha256"` // of the trace's file, or of what was generated; "" where that is not known
	Rows    int    `json:"rows,omitempty"`
	Licence string `json:"licence"`
}

// Score is one number that says how good an artefact is.
type Score struct {
	Name  string  `json:"name"` // for instance "ANR"
	Value float64 `json:"value"`
	Of    string  `json:"of"` // how it was measured
	// Trivial is what the best that needs no learning from the input scores: the
	// mean of a target, the best single action. 0 for none.
	Trivial float64 `json:"trivial,omitempty"`
}

// Parse reads what Text wrote.
func Parse(text []byte) (Card, error) {
	var c Card
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("card: %w", err)
	}
	if c.What != Policy && c.What != Model {
		return c, fmt.Errorf("card: it is of a %q; accepted: %q, %q", c.What, Policy, Model)
	}
	return c, nil
}

// Text is the card as files have it.
func (c Card) Text() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	return append(b, '\n'), nil
}

// heading is what the first line of every card's Markdown begins with.
const heading = "# Card of a "

// Markdown is the card for people.
func (c Card) Markdown() []byte {
	var b strings.Builder
	line := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	fmt.Fprintf(&b, "%s%s for scenario %s\n\n", heading, c.What, line(c.Scenario))
	t := figure.Table{Header: []string{"", ""}}
	add := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			t.Rows = append(t.Rows, []string{name, text})
		}
	}
	add("mesh and knobs", "%s", c.Mesh)
	for i, r := range c.Loads {
		add("load of "+c.service(i), "%v to %v requests/s", r.Min, r.Max)
	}
	add("learned from", "%s", c.Data.Title)
	if c.Data.Rows > 0 {
		add("rows", "%d", c.Data.Rows)
	}
	add("SHA-256 of the data", "%s", c.Data.SHA256)
	add("licence of the data", "%s", c.Data.Licence)
	add("objective", "%s", c.Objective)
	add("setting", "%s", c.Setting)
	add("seed", "%d", c.Seed)
	add("SHA-256 of the scenario", "%s", c.ScenarioSHA256)
	b.Write(t.Markdown())
	b.WriteString("\n## How good\n\n")
	trivial := "the mean alone"
	if c.What == Policy {
		trivial = "the best single action"
	}
	scores := figure.Table{Header: []string{"score", "value", trivial, "measured"}}
	for _, s := range c.Scores {
		row := []string{s.Name, strconv.FormatFloat(s.Value, 'g', 4, 64), "", s.Of}
		if s.Trivial != 0 {
			row[2] = strconv.FormatFloat(s.Trivial, 'g', 4, 64)
		}
		scores.Rows = append(scores.Rows, row)
	}
	b.Write(scores.Markdown())
	b.WriteString("\n## Where it must not be used\n\n")
	for _, l := range c.Limits {
		fmt.Fprintf(&b, "- %s\n", line(l))
	}
	if len(c.Settings) > 0 {
		var compact bytes.Buffer
		if json.Compact(&compact, c.Settings) != nil {
			compact.Reset()
			compact.Write(c.Settings)
		}
		fmt.Fprintf(&b, "\n## Settings\n\n0 and null stand for defaults.\n\n```json\n%s\n```\n", &compact)
	}
	return []byte(b.String())
}

func (c Card) service(i int) string {
	if i < len(c.Services) {
		return c.Services[i]
	}
	return fmt.Sprintf("service %d", i+1)
}
