package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another's measurements: a function in the folder of peer.py, or one of
// Go.
type peer struct {
	name   string
	python string // module.function; "" for run
	cases  []string
	once   bool // in the first round alone: it takes its time
	run    func(ctx context.Context, cfg Config, d *data) (version string, got results, err error)
}

var (
	fits  = []string{"fit, trace"}
	trees = []string{sameRow, sameTable, modelFile}
)

// peers are all that are measured, in turn.
var peers = []peer{
	{name: "scikit-learn", python: "forests.scikit_learn", cases: append([]string{allCores, oneRow, wholeTable, modelFile}, append(fits, forms...)...)},
	{name: "biosphere", python: "forests.biosphere", cases: append(fits, forms...)},
	{name: "oneDAL", python: "forests.intelex", cases: fits},
	{name: "ranger", python: "forests.ranger", cases: fits},
	{name: "YDF", python: "forests.ydf", cases: fits, once: true},
	{name: "LightGBM", python: "forests.lightgbm", cases: fits},
	{name: "quantile-forest", python: "forests.quantile_forest", cases: []string{quantiles}},
	{name: "onnxruntime", python: "trees.onnxruntime", cases: trees},
	{name: "compiled trees", python: "trees.compiled", cases: []string{sameSmall}},
	{name: "Stable-Baselines3", python: "ppos.sb3", cases: []string{ppoOne, ppoEight, anrPaper}},
	{name: "sbx", python: "ppos.sbx", cases: []string{ppoOne, ppoEight, anrPaper}, once: true},
	{name: "rejax", python: "ppos.rejax", cases: append([]string{smallHead, wholeHead}, anrNames()...)},
	{name: "SimPy", python: "events.simpy", cases: []string{simulation}},
	{name: "random numbers and heap alone", run: floor, cases: []string{simulation}},
	{name: "fortio", run: fortio, cases: []string{generator}},
}

// measure runs a peer; name is with its version.
func (cfg Config) measure(ctx context.Context, d *data, p peer, dir string) (name string, got results, err error) {
	if p.run != nil {
		version, got, err := p.run(ctx, cfg, d)
		return strings.TrimSpace(p.name + " " + version), got, err
	}
	return cfg.python(ctx, p.python, dir)
}

// python asks peer.py for a function's measurements.
func (cfg Config) python(ctx context.Context, function, dir string) (name string, got results, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.Tools, "bin", "python"), filepath.Join(cfg.Peers, "peer.py"), function, dir)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "RAYON_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=", "JAX_PLATFORMS=cpu", "PYTHONWARNINGS=ignore",
		"MESHBENCH_ROWS="+filepath.Join(cfg.Tools, "rows"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return "", nil, fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	var answer struct {
		Version, Missing string
		Cases            results
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return "", nil, fmt.Errorf("peer.py %s printed %.200q: %w", function, b, err)
	}
	if answer.Missing != "" {
		return "", nil, errors.New(answer.Missing)
	}
	return answer.Version, answer.Cases, nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
