// Package bench measures this project beside its peers, scikit-learn's random
// forest and Stable-Baselines3's PPO: in one run, in alternation, on the same
// data, cores and settings, with a check that both solve the same task.
package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/trace"
)

// Config says what is measured.
type Config struct {
	Source study.Source
	Python string // interpreter that has the peers
	Script string // peers/peer.py
	Rounds int    // alternations; default 5
	// Log, if set, is told what is done.
	Log func(format string, args ...any)
}

// Case is one comparison: medians over the rounds.
type Case struct {
	Case    string  `json:"case"`
	Ours    float64 `json:"ours"`
	Peer    float64 `json:"peer"`
	Version string  `json:"peer_version"`
	// Ratio is how many times ours is better: the median of the rounds' ratios,
	// of which Lowest and Highest are the extremes.
	Ratio   float64 `json:"ratio"`
	Lowest  float64 `json:"ratio_lowest"`
	Highest float64 `json:"ratio_highest"`
	Unit    string  `json:"unit"`
	Cores   int     `json:"cores"`
	Note    string  `json:"note,omitempty"` // the check that both solve the same task
}

// data is what both sides work on.
type data struct {
	trainX, trainY, testX, testY, grid *mat.Dense
	levels                             [][]float64
	sample                             *mat.Dense // see resample
	rewards                            *optimum.Rewards
	scenario                           scenario.Scenario
}

// measured is what one side gave in one round, by case; NaN when a goal was not
// reached.
type measured map[string]float64

func (cfg Config) log(format string, args ...any) {
	if cfg.Log != nil {
		cfg.Log(format, args...)
	}
}

// Run measures all cases.
func Run(ctx context.Context, cfg Config) ([]Case, error) {
	if cfg.Rounds == 0 {
		cfg.Rounds = 5
	}
	d, err := prepare(ctx, cfg.Source)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "meshbench-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	var ours, peers []measured
	version := map[string]string{}
	for round := range cfg.Rounds {
		cfg.log("round %d of %d", round+1, cfg.Rounds)
		if err := d.write(dir, round); err != nil {
			return nil, err
		}
		a, err := d.ours(ctx, dir, uint64(round))
		if err != nil {
			return nil, err
		}
		b, err := cfg.peers(ctx, dir, version)
		if err != nil {
			return nil, err
		}
		ours, peers = append(ours, a), append(peers, b)
	}
	var out []Case
	for _, c := range []struct {
		name, unit   string
		cores        int
		moreIsBetter bool
	}{
		{"forest fit, one core", "s", 1, false},
		{"forest fit, all cores", "s", runtime.NumCPU(), false},
		{"one-row prediction", "s", 1, false},
		{"20,736-row table", "s", 1, false},
		{"model file", "bytes", 1, false},
		{"PPO, one environment", "steps per CPU-second", 1, true},
		{"PPO, 8 x 128", "steps per CPU-second", 1, true},
		{"time to ANR .98 on MO1", "s", 1, false},
	} {
		x := Case{Case: c.name, Unit: c.unit, Cores: c.cores, Version: version["fit"], Ours: middle(ours, c.name), Peer: middle(peers, c.name)}
		if strings.Contains(c.name, "PPO") || strings.Contains(c.name, "ANR") {
			x.Version = version["ppo"]
		} else {
			x.Note = fmt.Sprintf("mean NMAE %.4f, peer %.4f", middle(ours, "nmae"), middle(peers, "nmae"))
		}
		var ratios []measured
		for k := range ours {
			r := peers[k][c.name] / ours[k][c.name]
			if c.moreIsBetter {
				r = 1 / r
			}
			ratios = append(ratios, measured{"r": r})
		}
		x.Ratio, x.Lowest, x.Highest = middle(ratios, "r"), math.Inf(1), math.Inf(-1)
		for _, m := range ratios {
			if r := m["r"]; !math.IsNaN(r) {
				x.Lowest, x.Highest = min(x.Lowest, r), max(x.Highest, r)
			}
		}
		if strings.Contains(c.name, "ANR") {
			x.Note = fmt.Sprintf("reached in %d of %d rounds, by the peer in %d", reached(ours, c.name), len(ours), reached(peers, c.name))
		}
		if math.IsNaN(x.Ours) || math.IsNaN(x.Peer) {
			continue
		}
		out = append(out, x)
	}
	return out, nil
}

// middle is the median of a case over the rounds that have it.
func middle(rounds []measured, name string) float64 {
	var v []float64
	for _, m := range rounds {
		if x, ok := m[name]; ok && !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return median.Of(v)
}

func reached(rounds []measured, name string) (n int) {
	for _, m := range rounds {
		if x, ok := m[name]; ok && !math.IsNaN(x) {
			n++
		}
	}
	return n
}

func prepare(ctx context.Context, s study.Source) (*data, error) {
	train, test := s.Trace.Split(trace.Split{})
	names := s.Trace.Space().Layout().DelayNames()
	d := &data{scenario: s.Scenario, trainX: train.Features(), testX: test.Features()}
	var err error
	if d.trainY, err = train.Targets(names...); err != nil {
		return nil, err
	}
	if d.testY, err = test.Targets(names...); err != nil {
		return nil, err
	}
	cells := 1
	for _, r := range s.Scenario.Loads {
		d.levels = append(d.levels, r.Discrete())
	}
	for _, k := range s.Trace.Space().Knobs() {
		var values []float64
		for _, p := range k.Points {
			values = append(values, p[0])
		}
		d.levels = append(d.levels, values)
	}
	for _, l := range d.levels {
		cells *= len(l)
	}
	var rows []float64
	for cell := range cells {
		row := make([]float64, len(d.levels))
		for j, k := len(row)-1, cell; j >= 0; j-- {
			row[j] = d.levels[j][k%len(d.levels[j])]
			k /= len(d.levels[j])
		}
		rows = append(rows, row...)
	}
	d.grid = mat.NewDense(cells, len(d.levels), rows)
	model, err := s.Learn(ctx, 0)
	if err != nil {
		return nil, err
	}
	d.sample = d.resample()
	o, err := s.Scenario.Objective("MO1")
	if err != nil {
		return nil, err
	}
	d.rewards, err = optimum.NewRewards(model, s.Objective(o), optimum.Config{})
	return d, err
}

// write puts the data where the peers read it.
func (d *data) write(dir string, round int) error {
	meta := map[string]any{"cores": runtime.NumCPU(), "round": round}
	var rewards []float64
	loads := d.loads()
	for _, l := range loads {
		t, err := d.rewards.Table(l)
		if err != nil {
			return err
		}
		rewards = append(rewards, t.Reward...)
	}
	for name, m := range map[string]*mat.Dense{"trainx": d.trainX, "trainy": d.trainY, "testx": d.testX, "testy": d.testY, "grid": d.grid,
		"rewards": mat.NewDense(len(loads), d.rewards.Space().Len(), rewards), "sample": d.sample} {
		r, c := m.Dims()
		meta[name] = []int{r, c}
		b := make([]byte, 0, 8*r*c)
		for _, v := range m.RawMatrix().Data {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		if err := os.WriteFile(filepath.Join(dir, name+".f64"), b, 0o600); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	b, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "meta.json"), b, 0o600)
}

// cpuSeconds is the processor time that f takes.
func cpuSeconds(f func() error) (float64, error) {
	now := func() float64 {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return math.NaN()
		}
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	begin := now()
	err := f()
	return now() - begin, err
}

// ours measures this project's side once.
func (d *data) ours(ctx context.Context, dir string, seed uint64) (measured, error) {
	m := measured{}
	runtime.GC()
	timed := func(name string, f func() error) error {
		begin := time.Now()
		err := f()
		m[name] = time.Since(begin).Seconds()
		return err
	}
	var f *forest.Forest
	for _, c := range []struct {
		name    string
		workers int
	}{{"forest fit, all cores", 0}, {"forest fit, one core", 1}} {
		err := timed(c.name, func() (err error) {
			f, err = forest.Fit(ctx, d.trainX, d.trainY, forest.Config{Trees: 120, Workers: c.workers, Seed: seed})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, v := range forest.NMAE(d.testY, f.PredictMatrix(d.testX)) {
		m["nmae"] += v / 4
	}
	var rows []measured
	dst := make([]float64, 4)
	for k := range 1000 {
		begin := time.Now()
		f.Predict(dst, d.testX.RawRowView(k))
		rows = append(rows, measured{"row": time.Since(begin).Seconds()})
	}
	m["one-row prediction"] = middle(rows, "row")
	if err := timed("20,736-row table", func() error { _, err := f.PredictGrid(nil, d.levels); return err }); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "forest")
	if err := f.Save(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	m["model file"] = float64(info.Size())
	for _, c := range []struct {
		name string
		envs int
	}{{"PPO, one environment", 1}, {"PPO, 8 x 128", 8}} {
		if m[c.name], err = d.ppoRate(ctx, c.envs, seed); err != nil {
			return nil, err
		}
	}
	m["time to ANR .98 on MO1"], err = d.timeToANR(ctx, seed)
	return m, err
}

// loads are those of random load.
func (d *data) loads() []mesh.Load { return d.scenario.Loads.Grid(1 << 10) }

// env is the environment in the paper's setting.
func (d *data) env(ctx context.Context) (ppo.Env, error) {
	return learner.NewGym(ctx, study.Problem(d.rewards, d.scenario, study.Paper(d.scenario)), learner.Observation{}, learner.PerKnob, 0)
}

// timeToANR is the time until the first of three evaluations in a row of at
// least .98, NaN when 200,000 steps do not reach it.
func (d *data) timeToANR(ctx context.Context, seed uint64) (float64, error) {
	problem := study.Problem(d.rewards, d.scenario, study.Paper(d.scenario))
	loads := d.loads()
	begin, first, row := time.Now(), math.NaN(), 0
	cfg := ppo.Config{Seed: seed, TotalSteps: 200_000, EvalEvery: 1024, Stop: &ppo.Convergence{Window: 3, Tolerance: -1, Target: .98},
		Evaluate: func(_ context.Context, net *ppo.Policy, _ int) (float64, error) {
			p, err := learner.NewNetwork(net, d.rewards.Space(), problem, learner.Observation{}, learner.PerKnob)
			if err != nil {
				return 0, err
			}
			score, _, err := policy.Score(d.rewards, p, loads)
			if score < .98 {
				row = 0
			} else if row++; row == 1 {
				first = time.Since(begin).Seconds()
			}
			return score, err
		}}
	env, err := d.env(ctx)
	if err != nil {
		return 0, err
	}
	t, err := ppo.New(cfg, env)
	if err != nil {
		return 0, err
	}
	if err := t.Train(ctx, 0); err != nil {
		return 0, err
	}
	if row < 3 {
		return math.NaN(), nil
	}
	return first, nil
}

// answer is what peer.py prints; fields that a case does not have are 0.
type answer struct {
	Version string
	Fit     float64 // s
	NMAE    []float64
	Row     float64 // s
	Table   float64 // s
	Bytes   float64
	Peak    float64 // growth of the process's memory, bytes
	Rate    float64 `json:"steps_per_cpu_second"`
	Seconds *float64
}

// peer measures one case of the other side.
func (cfg Config) peer(ctx context.Context, name, dir string) (got answer, err error) {
	cmd := exec.CommandContext(ctx, cfg.Python, cfg.Script, name, dir)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "CUDA_VISIBLE_DEVICES=")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return got, fmt.Errorf("bench: peer %s: %w\n%s", name, err, stderr.String())
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return got, fmt.Errorf("bench: peer %s printed %q: %w", name, b, err)
	}
	return got, nil
}

// peers measures the other side once.
func (cfg Config) peers(ctx context.Context, dir string, version map[string]string) (measured, error) {
	m := measured{}
	for _, c := range []string{"fit-all", "fit-one", "ppo-1", "ppo-8", "ppo-anr"} {
		got, err := cfg.peer(ctx, c, dir)
		if err != nil {
			return nil, err
		}
		version[c[:3]] = got.Version
		switch c {
		case "fit-all":
			m["forest fit, all cores"] = got.Fit
		case "fit-one":
			m["forest fit, one core"], m["one-row prediction"], m["20,736-row table"], m["model file"] = got.Fit, got.Row, got.Table, got.Bytes
			for _, v := range got.NMAE {
				m["nmae"] += v / float64(len(got.NMAE))
			}
		case "ppo-1":
			m["PPO, one environment"] = got.Rate
		case "ppo-8":
			m["PPO, 8 x 128"] = got.Rate
		case "ppo-anr":
			m["time to ANR .98 on MO1"] = math.NaN()
			if got.Seconds != nil {
				m["time to ANR .98 on MO1"] = *got.Seconds
			}
		}
	}
	return m, nil
}

// Draw draws the ratios, with their extremes, as bench in dir.
func Draw(dir string, cases []Case) error {
	var list []figure.Ratio
	for _, c := range cases {
		list = append(list, figure.Ratio{Name: c.Case, Value: c.Ratio, Lo: c.Lowest, Hi: c.Highest})
	}
	drawing, err := figure.Ratios(figure.Axes{X: "times better than scikit-learn and Stable-Baselines3"}, list...)
	if err != nil {
		return err
	}
	return drawing.Save(dir, "bench")
}

// Write writes bench.json into dir.
func Write(dir string, cases []Case) error {
	return writeJSON(filepath.Join(dir, "bench.json"), cases)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return atomicfile.Write(path, append(b, '\n'))
}
