package tensorboard_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/lab/tensorboard"
)

// The bytes are those that TensorBoard 2.21 itself makes of 0.5 at step 7, 2.5 s after
// the beginning: its event_pb2 and masked_crc32c.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var e tensorboard.Events
	e.Add(7, 2.5, "train/loss", .5)
	e.Add(8, 3, "train/loss", math.NaN())
	if err := e.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, tensorboard.File))
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString("0f000000000000006d532b091a0d627261696e2e4576656e743a32fc985129200000000000000029eda95009000000000000044010072a130a110a0a747261696e2f6c6f7373150000003f382c21c2")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
	if err := e.Write(filepath.Join(dir, tensorboard.File)); err == nil {
		t.Error("written below a file")
	}
}
