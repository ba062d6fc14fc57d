package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/onnx"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/trace"
)

// sample is what a forest is fitted to and tested by.
type sample struct{ x, y, testX, testY *mat.Dense }

// data is what both sides work on.
type data struct {
	cfg       Config
	scenario  scenario.Scenario
	samples   map[string]sample // by the name of the fit
	levels    [][]float64       // of the table's columns
	grid      *mat.Dense
	bootstrap *mat.Dense // see resample
	rewards   *optimum.Rewards
	shapes    map[string][]int // of the matrices that were written
	times     [][]float64      // service times of each service's items, s
	forest    *forest.Forest   // of the trace
	small     *forest.Forest   // of smallLeaf
}

// training is a setting of PPO that both sides can have: networks of two layers of
// 64 on the two loads, constant rates.
type training struct {
	Environments int     `json:"environments"`
	Steps        int     `json:"steps"`
	Batch        int     `json:"batch"`
	Epochs       int     `json:"epochs"`
	Rate         float64 `json:"rate"`
	Entropy      float64 `json:"entropy"`
	Total        int     `json:"total"`
	Every        int     `json:"every"` // steps between evaluations
}

var (
	// forSpeed is large enough for a peer that compiles.
	forSpeed = training{Environments: 8, Steps: 1024, Batch: 512, Epochs: 3, Rate: 1e-3, Total: 38 * 8192, Every: 38 * 8192}
	// ourANR and theirANR are what reached an ANR of .98 soonest of the settings that
	// were tried on each side.
	ourANR   = training{Environments: 8, Steps: 256, Batch: 256, Epochs: 4, Rate: 4e-3, Entropy: .1, Total: 100 * 2048, Every: 2048}
	theirANR = training{Environments: 8, Steps: 128, Batch: 128, Epochs: 4, Rate: 2e-3, Entropy: .01, Total: 200 * 1024, Every: 1024}
	goals    = []float64{.98, .99}
	seeds    = []int{1, 8, 64} // several in the first round alone: they take their time
)

// forms are fits of other numbers of features and outputs than the trace's.
var forms = []string{"fit, 12 features, 1 output", "fit, 12 features, 4 outputs", "fit, 24 features, 4 outputs", "fit, 12 features, 9 outputs"}

// made is a sample of 5,000 rows: half of the features have six levels, as knobs
// do, and half any value; outputs are smooth, depend on the same three features
// and have noise.
func made(features, outputs int) sample {
	const rows, testRows = 5_000, 1_000
	rng := rand.New(rand.NewPCG(uint64(features), uint64(outputs)))
	of := func(rows int) (x, y *mat.Dense) {
		x, y = mat.NewDense(rows, features, nil), mat.NewDense(rows, outputs, nil)
		for r := range rows {
			row := x.RawRowView(r)
			for k := range row {
				if row[k] = rng.Float64(); k%2 == 1 {
					row[k] = float64(rng.IntN(6)) / 5
				}
			}
			for o := range outputs {
				y.Set(r, o, math.Exp(row[0]*row[1]*float64(1+o)/float64(outputs))/(1.2-row[2])+.1*rng.NormFloat64())
			}
		}
		return x, y
	}
	var s sample
	s.x, s.y = of(rows)
	s.testX, s.testY = of(testRows)
	return s
}

func prepare(ctx context.Context, cfg Config) (*data, error) {
	s := cfg.Source
	train, test := s.Trace.Split(trace.Split{})
	names := s.Trace.Space().Layout().DelayNames()
	d := &data{cfg: cfg, scenario: s.Scenario, samples: map[string]sample{}}
	of := sample{x: train.Features(), testX: test.Features()}
	var err error
	if of.y, err = train.Targets(names...); err != nil {
		return nil, err
	}
	if of.testY, err = test.Targets(names...); err != nil {
		return nil, err
	}
	d.samples[fits[0]] = of
	for _, name := range forms {
		var features, outputs int
		if _, err := fmt.Sscanf(name, "fit, %d features, %d output", &features, &outputs); err != nil {
			return nil, fmt.Errorf("bench: %q: %w", name, err)
		}
		d.samples[name] = made(features, outputs)
	}
	d.makeGrid(s.Trace.Space())
	d.bootstrap = d.resample()
	model, err := s.Learn(ctx, 0)
	if err != nil {
		return nil, err
	}
	o, err := s.Scenario.Objective("MO1")
	if err != nil {
		return nil, err
	}
	if d.rewards, err = optimum.NewRewards(model, s.Objective(o), optimum.Config{}); err != nil {
		return nil, err
	}
	catalogue, err := item.NewCatalogue(s.Scenario.Kinds(), 0)
	if err != nil {
		return nil, err
	}
	for u := range catalogue.Services() {
		times := make([]float64, catalogue.Len(u))
		for key := range times {
			times[key] = item.ServiceTime(catalogue.Size(u, key))
		}
		d.times = append(d.times, times)
	}
	return d, nil
}

// makeGrid lists all loads and actions of the scenario.
func (d *data) makeGrid(space *mesh.Space) {
	cells := 1
	for _, r := range d.scenario.Loads {
		d.levels = append(d.levels, r.Discrete())
	}
	for _, k := range space.Knobs() {
		var values []float64
		for _, p := range k.Points {
			values = append(values, p[0])
		}
		d.levels = append(d.levels, values)
	}
	for _, l := range d.levels {
		cells *= len(l)
	}
	d.grid = mat.NewDense(cells, len(d.levels), nil)
	for cell := range cells {
		row := d.grid.RawRowView(cell)
		for j, k := len(row)-1, cell; j >= 0; j-- {
			row[j] = d.levels[j][k%len(d.levels[j])]
			k /= len(d.levels[j])
		}
	}
}

// loads are those of random load.
func (d *data) loads() []mesh.Load { return d.scenario.Loads.Grid(1 << 10) }

// write puts the data where the peers read it, and our trees once they are there.
func (d *data) write(dir string) error {
	var rewards []float64
	loads := d.loads()
	for _, l := range loads {
		t, err := d.rewards.Table(l)
		if err != nil {
			return err
		}
		rewards = append(rewards, t.Reward...)
	}
	matrices := map[string]*mat.Dense{
		"grid": d.grid, "rewards": mat.NewDense(len(loads), d.rewards.Space().Len(), rewards), "sample": d.bootstrap,
	}
	if d.forest != nil {
		matrices["predicted"] = d.forest.PredictMatrix(d.samples[fits[0]].testX)
		matrices["nodes"] = nodes(d.small)
		matrices["smallpredicted"] = d.small.PredictMatrix(d.samples[fits[0]].testX)
		trees, err := onnx.Forest(d.forest)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "forest.onnx"), trees, 0o600); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	for name, s := range d.samples {
		maps.Copy(matrices, map[string]*mat.Dense{name + ".x": s.x, name + ".y": s.y, name + ".testx": s.testX, name + ".testy": s.testY})
	}
	for k, times := range d.times {
		matrices[fmt.Sprintf("times%d", k)] = mat.NewDense(1, len(times), times)
	}
	d.shapes = map[string][]int{}
	for name, m := range matrices {
		r, c := m.Dims()
		d.shapes[name] = []int{r, c}
		b := make([]byte, 0, 8*r*c)
		for _, v := range m.RawMatrix().Data {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		if err := os.WriteFile(filepath.Join(dir, name+".f64"), b, 0o600); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}

// begin tells the peers what a round is like; what write wrote stays.
func (d *data) begin(dir string, round int) error {
	b, err := json.Marshal(map[string]any{
		"shapes": d.shapes, "round": round, "forms": forms, "sizes": peerSizes(), "environments": peerEnvironments,
		"speed": forSpeed, "anr": theirANR, "goals": goals, "seeds": seeds,
		"simulated": simulatedSteps * d.scenario.Timing.Seconds(), "load": simulatedLoad, "route": simulatedRoute,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "meta.json"), b, 0o600)
}

// nodes are those of all trees of a forest, tree after tree: number of the tree,
// feature, -1 for a leaf, threshold, number of the left child in the tree, and
// outputs.
func nodes(f *forest.Forest) *mat.Dense {
	width := 4 + len(f.Outputs())
	out := mat.NewDense(f.Nodes(), width, nil)
	at := 0
	for t := range f.Trees() {
		for _, n := range f.Tree(t) {
			row := out.RawRowView(at)
			if row[0], row[1], row[2], row[3] = float64(t), float64(n.Feature), n.Threshold, float64(n.Left); n.Value != nil {
				row[1] = -1
			}
			copy(row[4:], n.Value)
			at++
		}
	}
	return out
}
