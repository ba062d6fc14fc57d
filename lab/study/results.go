package study

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// row is what rows of results.json say of a policy (see README).
type row struct {
	Scenario    string `json:"scenario"`
	Trace       string `json:"trace"`
	Objective   string `json:"objective"`
	Environment string `json:"environment"`
	Load        string `json:"load"`
	Policy      string `json:"policy"`
	Setting     string `json:"setting,omitempty"`
}

// anrRow is a row of ANR.
type anrRow struct {
	row
	Seeds int        `json:"seeds"`
	Steps int        `json:"steps"`
	ANR   float64    `json:"anr"`
	CI    [2]float64 `json:"ci"`
	Exact bool       `json:"exact"` // against the reference model's optimum, not the best found
}

// rewardRow is one where rewards are no ratios.
type rewardRow struct {
	row
	TrainedOn  string     `json:"trained_on,omitempty"`
	Seeds      int        `json:"seeds"`
	Runs       int        `json:"runs"`
	Steps      int        `json:"steps"`
	Reward     float64    `json:"reward"`
	CI         [2]float64 `json:"ci"`
	Cost       float64    `json:"cost"`
	Violations float64    `json:"violations"`              // share of the steps in which a goal was missed
	Late       *float64   `json:"late_requests,omitempty"` // share of the answered requests that were later than their goal
	Failed     *float64   `json:"failed,omitempty"`
}

type results struct {
	ANR    []anrRow    `json:"anr,omitempty"`
	Reward []rewardRow `json:"reward,omitempty"`
	True   []TrueShare `json:"true,omitempty"`
	Model  []Score     `json:"model"`
	Time   []Timing    `json:"time"`
	Run    manifest    `json:"run"`
}

type manifest struct {
	Versions map[string]string `json:"versions"`
	Seed     uint64            `json:"seed"`
	Data     map[string]string `json:"data_sha256"`
}

// WriteResults writes results.json into dir.
func (r *Result) WriteResults(dir string) error {
	out := results{Model: r.Scores, True: r.Truths, Time: r.Times, Run: manifest{Versions: versions(), Seed: r.Config.Seed, Data: map[string]string{}}}
	for _, c := range r.Cells {
		i := c.ANR()
		if math.IsNaN(i.Value) {
			continue
		}
		out.ANR = append(out.ANR, anrRow{row{r.Config.Scenario().Name, c.Source, c.Objective, c.Environment, c.Load, c.Policy, c.Setting},
			len(c.Runs), len(c.Runs[0].Steps), i.Value, [2]float64{i.Lo, i.Hi}, c.Exact()})
	}
	for _, c := range r.Rewards {
		i := c.Reward()
		if math.IsNaN(i.Value) {
			continue
		}
		paid := rewardRow{row{r.Config.Scenario().Name, c.Source, c.Objective, c.Environment, c.Load, c.Policy, c.Setting}, c.TrainedOn,
			c.Seeds, len(c.Runs), c.Runs[0].Steps, i.Value, [2]float64{i.Lo, i.Hi}, c.Cost().Value, c.Missed().Value, known(c.Late().Value), known(c.Failed().Value)}
		out.Reward = append(out.Reward, paid)
	}
	for _, s := range r.Config.Sources {
		out.Run.Data[s.Name] = s.SHA256
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return fmt.Errorf("study: results: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "results.json"), append(b, '\n')); err != nil {
		return fmt.Errorf("study: results: %w", err)
	}
	return nil
}

// known is nil for a value that is missing.
func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// versions are those of Go and of the modules that compute.
func versions() map[string]string {
	v := map[string]string{"go": runtime.Version(), "cores": fmt.Sprint(runtime.GOMAXPROCS(0))}
	if code, err := CodeHash(); err == nil {
		v["code_sha256"] = code
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "gonum.org/") || strings.HasPrefix(m.Path, "github.com/go-gota/") {
				v[m.Path] = m.Version
			}
		}
	}
	return v
}
