package gym_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/gym"
	"github.com/meshbench/meshbench/lab/ppo"
)

// counter shows its seed and its step; choice 1 of its first head is paid.
type counter struct{ seed, step float32 }

func (c *counter) Spaces() (int, []int) { return 2, []int{2, 3} }

func (c *counter) Reset(seed uint64, obs []float32) error {
	if seed == 13 {
		return errors.New("no such seed")
	}
	c.seed, c.step = float32(seed), 0
	return c.see(obs)
}

func (c *counter) see(obs []float32) error {
	obs[0], obs[1] = c.seed, c.step
	return nil
}

func (c *counter) Step(choice []int, obs []float32) (float64, bool, error) {
	c.step++
	return float64(choice[0]), int(c.step)%3 == 0, c.see(obs)
}

// masked allows the last choice alone in its second step.
type masked struct{ counter }

func (m *masked) Mask(dst []bool) {
	for k := range dst {
		dst[k] = m.step != 1 || k == 1 || k == 4
	}
}

// talk sends requests, and returns what is answered behind the first line.
func talk(t *testing.T, cfg gym.Config, requests ...any) (gym.Hello, *bytes.Reader, error) {
	t.Helper()
	var in, out bytes.Buffer
	for _, r := range requests {
		if s, ok := r.(string); ok {
			in.WriteString(s)
		} else if err := binary.Write(&in, binary.LittleEndian, r); err != nil {
			t.Fatal(err)
		}
	}
	err := gym.Serve(context.Background(), &in, &out, cfg)
	line, _ := out.ReadBytes('\n')
	var h gym.Hello
	if e := json.Unmarshal(line, &h); e != nil {
		t.Fatal(e)
	}
	return h, bytes.NewReader(out.Bytes()), err
}

func take[T any](t *testing.T, r io.Reader, n int) []T {
	t.Helper()
	v := make([]T, n)
	if err := binary.Read(r, binary.LittleEndian, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestServe(t *testing.T) {
	cfg := gym.Config{Title: "t", Environments: []ppo.Env{&counter{}, &counter{}}, Length: 3,
		Loads: [][]float32{{5, 6}, {7, 8}, {9, 9}}, Score: func(c [][]int) (float64, error) { return float64(len(c)*100 + c[2][1]), nil }}
	choice := []int32{1, 0, 0, 2}
	h, r, err := talk(t, cfg, "r", []byte{1, 1}, []uint64{7, 8}, "s", choice, "s", choice, "s", choice, "r", []byte{0, 1}, []uint64{1, 9},
		"s", []int32{0, 3, 0, 0}, "r", []byte{1, 0}, []uint64{13, 0}, "l", "e", []int32{0, 0, 1, 1, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "hello", h, gym.Hello{Version: gym.Version, Title: "t", Environments: 2, Observation: 2, Heads: []int{2, 3}, Length: 3, Loads: 3})
	ok := func() { want(t, "status", take[byte](t, r, 1)[0], 0) }
	ok()
	want(t, "first observations", take[float32](t, r, 4), []float32{7, 0, 8, 0})
	for k := range 3 {
		ok()
		n := float32(k + 1)
		want(t, "observations", take[float32](t, r, 4), []float32{7, n, 8, n})
		want(t, "rewards", take[float64](t, r, 2), []float64{1, 0})
		end := byte(0)
		if k == 2 {
			end = 1
		}
		want(t, "truncated", take[byte](t, r, 2), []byte{end, end})
	}
	ok()
	want(t, "one was reset", take[float32](t, r, 4), []float32{7, 3, 9, 0})
	for _, text := range []string{"choice 3 of head 1; accepted: 0 to 2", "no such seed"} {
		want(t, "status", take[byte](t, r, 1)[0], 1)
		want(t, "error", string(take[byte](t, r, int(take[uint32](t, r, 1)[0]))), text)
	}
	ok()
	want(t, "loads", take[uint32](t, r, 1)[0], 3)
	want(t, "their observations", take[float32](t, r, 6), []float32{5, 6, 7, 8, 9, 9})
	ok()
	want(t, "score", take[float64](t, r, 1)[0], 302)
	if r.Len() != 0 {
		t.Errorf("%d bytes are left", r.Len())
	}
}

func TestMask(t *testing.T) {
	_, r, err := talk(t, gym.Config{Environments: []ppo.Env{&masked{}}}, "r", []byte{1}, []uint64{7}, "s", []int32{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	take[byte](t, r, 1+2*4)
	want(t, "mask", take[byte](t, r, 5), []byte{1, 1, 1, 1, 1})
	take[byte](t, r, 1+2*4+8+1)
	want(t, "mask", take[byte](t, r, 5), []byte{0, 1, 0, 0, 1})
}

func TestBroken(t *testing.T) {
	for request, text := range map[string]string{"x": "accepted: r, s, l, e", "s\x00": "unexpected EOF"} {
		if _, _, err := talk(t, gym.Config{Environments: []ppo.Env{&counter{}}}, request); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: error %v, want %q", request, err, text)
		}
	}
	if err := gym.Serve(context.Background(), nil, nil, gym.Config{}); err == nil {
		t.Error("nothing is served")
	}
}

// Python's end: gymnasium's env_checker passes, a vector of environments is as many
// single ones, and PPO of Stable-Baselines3 gets as far on it as on any.
func TestPython(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for some seconds")
	}
	python := os.Getenv("MESHBENCH_GYM_PYTHON")
	if python == "" {
		python, _ = filepath.Abs("../../.bench/bin/python")
	}
	if exec.Command(python, "-c", "import gymnasium, stable_baselines3").Run() != nil {
		t.Skip("needs gymnasium and Stable-Baselines3: make gym, or MESHBENCH_GYM_PYTHON")
	}
	program := filepath.Join(t.TempDir(), "meshbench")
	if out, err := exec.Command("go", "build", "-tags", "nocluster", "-o", program, "../cmd/meshbench").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	trace, model := filepath.Join(t.TempDir(), "trace.csv"), filepath.Join(t.TempDir(), "model")
	for _, args := range [][]string{{"collect", "-testbed", "virtual", "-steps", "2000", trace}, {"learn", "-splits", "0", "-trace", trace, "-o", model}} {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	check := func(args ...string) (out struct {
		ANR float64
	}) {
		cmd := exec.Command(python, append([]string{"-m", "meshbench_gym.check"}, args...)...)
		cmd.Env = append(os.Environ(), "MESHBENCH="+program)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		text, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, &stderr)
		}
		t.Logf("%s", text)
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := check("--steps", "20480", "model="+model, "length=100"); out.ANR < .85 {
		t.Errorf("ANR %.3f after 20,480 steps; a random policy has about .4", out.ANR)
	}
}

// A server that waits for a request ends with its context.
func TestEndsWithContext(t *testing.T) {
	in, other := io.Pipe() // nobody writes
	defer other.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gym.Serve(ctx, in, io.Discard, gym.Config{Environments: []ppo.Env{&counter{}}}) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it still waits")
	}
}
