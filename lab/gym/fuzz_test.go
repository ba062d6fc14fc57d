package gym_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/gym"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Whatever is asked, the server answers or ends with one line; the memory that it
// takes is that of its environments.
func FuzzServe(f *testing.F) {
	f.Add([]byte("r\x01\x01\x07\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00s\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00"))
	f.Add([]byte("le\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Add([]byte("s\x00\x00\x00\x80"))
	f.Add([]byte("q"))
	f.Fuzz(func(t *testing.T, in []byte) {
		cfg := gym.Config{Environments: []ppo.Env{&masked{}, &masked{}}, Loads: [][]float32{{5, 6}}, Score: func([][]int) (float64, error) { return 1, nil }}
		var out bytes.Buffer
		err := gym.Serve(context.Background(), bytes.NewReader(in), &out, cfg)
		if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
			t.Fatalf("%q", err)
		}
		if !bytes.HasPrefix(out.Bytes(), []byte("{")) || out.Len() > 300+100*len(in) {
			t.Fatalf("%d bytes for %d", out.Len(), len(in))
		}
	})
}
