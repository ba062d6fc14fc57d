package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Table lists all cases, a row for each peer.
func (r Report) Table() figure.Table {
	t := figure.Table{Header: []string{"case", "unit", "cores", "ours", "check", "peer", "theirs", "check", "times better", "lowest", "highest"}}
	for _, c := range r.Cases {
		row := []string{c.Case, c.Unit, fmt.Sprint(c.Cores), fmt.Sprintf("%.4g", c.Ours.Median), c.Check}
		if len(c.Peers) == 0 {
			t.Rows = append(t.Rows, append(row, "", "", "", "", "", ""))
		}
		for _, p := range c.Peers {
			t.Rows = append(t.Rows, append(row[:len(row):len(row)], p.Peer, fmt.Sprintf("%.4g", p.Value.Median), p.Check,
				fmt.Sprintf("%.2f", p.Ratio.Median), fmt.Sprintf("%.2f", p.Ratio.Lowest), fmt.Sprintf("%.2f", p.Ratio.Highest)))
		}
	}
	return t
}

// Draw draws the ratios, with their extremes, as bench in dir.
func (r Report) Draw(dir string) error {
	var list []figure.Ratio
	for _, c := range r.Cases {
		for _, p := range c.Peers {
			list = append(list, figure.Ratio{Name: c.Case + ": " + brief(p.Peer), Value: p.Ratio.Median, Lo: p.Ratio.Lowest, Hi: p.Ratio.Highest})
		}
	}
	drawing, err := figure.Ratios(figure.Axes{X: "times better than the peer"}, list...)
	if err != nil {
		return err
	}
	return drawing.Save(dir, "bench")
}

// brief is a peer's name without its version and what follows.
func brief(peer string) string {
	words := strings.Fields(peer)
	at := slices.IndexFunc(words, func(w string) bool { return w[0] >= '0' && w[0] <= '9' })
	if at < 0 {
		return peer
	}
	return strings.Join(words[:at], " ")
}

// Read reads bench.json of dir, or an empty report where there is none.
func Read(dir string) (Report, error) {
	var r Report
	path := filepath.Join(dir, "bench.json")
	b, err := regular.ReadFile(path, regular.Any)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("bench: %s: %w", path, err)
	}
	return r, nil
}

// Renewed is r with those cases of a later run that cfg asks for in the place of its
// own, in the order of all.
func (r Report) Renewed(cfg Config, later Report) Report {
	out := Report{Missing: map[string]string{}}
	maps.Copy(out.Missing, r.Missing)
	maps.Copy(out.Missing, later.Missing)
	for _, k := range kinds() {
		from := r.Cases
		if cfg.wants(k.name) {
			from = later.Cases
		}
		if at := slices.IndexFunc(from, func(c Case) bool { return c.Case == k.name }); at >= 0 {
			out.Cases = append(out.Cases, from[at])
		}
	}
	return out
}

// Write writes bench.json into dir.
func (r Report) Write(dir string) error {
	return writeJSON(filepath.Join(dir, "bench.json"), r)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return atomicfile.Write(path, append(b, '\n'))
}
