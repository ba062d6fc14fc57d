package forest

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// Stored splits that are no tree in breadth-first order are refused: nodes that
// nothing leads to, children that are missing, a split without rows on a side.
func TestRegrowRefuses(t *testing.T) {
	x, y := mat.NewDense(4, 1, []float64{1, 2, 3, 4}), mat.NewDense(4, 1, []float64{1, 2, 3, 4})
	f, err := Fit(context.Background(), x, y, Config{Trees: 1, NoBootstrap: true})
	if err != nil {
		t.Fatal(err)
	}
	leaf, low, high := storedSplit{feature: leafMark}, storedSplit{cut: 0}, storedSplit{cut: 2}
	for name, tt := range map[string]struct {
		splits []storedSplit
		want   error
	}{
		"a tree":        {[]storedSplit{low, leaf, high, leaf, leaf}, nil},
		"unreached":     {[]storedSplit{leaf, low, leaf}, errFormat},
		"children lack": {[]storedSplit{low, leaf, high}, errFormat},
		"no rows":       {[]storedSplit{low, high, leaf, leaf, leaf}, errFormat},
	} {
		g := &Forest{cfg: f.cfg, data: f.data}
		if err := g.regrow(f.cuts, [][]storedSplit{tt.splits}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A file of version 2, which is no longer written, is read: scattered(120, 2, 7,
// 5, 300), three trees with leaves of 2 and seed 5.
func TestVersion2(t *testing.T) {
	f, err := Load("testdata/version2.forest")
	if err != nil {
		t.Fatal(err)
	}
	x, y := scattered(120, 2, 7, 5, 300)
	fitted, err := Fit(context.Background(), x, y, Config{Trees: 3, Seed: 5, MinLeaf: 2})
	if err != nil {
		t.Fatal(err)
	}
	const want = "84b0717160a31275" // as of when it was written
	if got, again := fingerprint(t, f, x), fingerprint(t, fitted, x); got != want || again != want {
		t.Errorf("the forest is %s, fitted anew %s, want %s", got, again, want)
	}
	if f.Meta["trace"] != "scattered" || f.Nodes() != 205 || f.Features()[1] != "p11" || f.Outputs()[1] != "d12" || f.Config().MinLeaf != 2 {
		t.Errorf("%d nodes, meta %v, settings %+v", f.Nodes(), f.Meta, f.Config())
	}
}

// pack makes a file of the given content, with the right checksum.
func pack(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(content)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprintf("%s%d\n", magic, version)
	return slices.Concat([]byte(first), checksum(first, b.Bytes()), b.Bytes())
}

// unpack is the content of a file.
func unpack(t testing.TB, file []byte) []byte {
	t.Helper()
	content, err := io.ReadAll(flate.NewReader(bytes.NewReader(bytes.SplitN(file, []byte("\n"), 3)[2])))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// smallFile is the file of a small forest.
func smallFile(t testing.TB, cfg Config) []byte {
	t.Helper()
	x, y := scattered(40, 2, 4, 3, 300)
	cfg.Trees = 2
	f, err := Fit(context.Background(), x, y, cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refused(t *testing.T, name string, file []byte) {
	t.Helper()
	err := new(Forest).UnmarshalBinary(file)
	if err == nil {
		t.Errorf("%s: no error", name)
	} else if strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("%s: more than one line: %q", name, err)
	}
}

// A file with one bit changed, or cut anywhere, is refused, of both versions;
// and so is content that is cut but has the right checksum.
func TestDamage(t *testing.T) {
	old, err := os.ReadFile("testdata/version2.forest")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"version 2": old, "version 3": smallFile(t, Config{})} {
		for k := range file {
			refused(t, fmt.Sprintf("%s cut at byte %d", name, k), file[:k])
			for bit := range 8 {
				file[k] ^= 1 << bit
				refused(t, fmt.Sprintf("%s with bit %d of byte %d changed", name, bit, k), file)
				file[k] ^= 1 << bit
			}
		}
		refused(t, name+" with more behind", append(slices.Clone(file), 0))
	}
	content := unpack(t, smallFile(t, Config{}))
	for k := range content {
		refused(t, fmt.Sprintf("content cut at byte %d", k), pack(t, content[:k]))
	}
	refused(t, "content with more behind", pack(t, append(content, 0)))
}

// What a file claims takes no memory before it is found to be there.
func TestClaims(t *testing.T) {
	const huge = 1 << 60
	content := func(header string, rest ...uint64) []byte {
		b := binary.AppendUvarint(nil, uint64(len(header)))
		b = append(b, header...)
		for _, v := range rest {
			b = binary.AppendUvarint(b, v)
		}
		return pack(t, b)
	}
	header := func(rows, features, outputs, trees int) string {
		return fmt.Sprintf(`{"config":{"Trees":%d},"Rows":%d,"Features":%d,"Outputs":%d}`, trees, rows, features, outputs)
	}
	zeros := make([]uint64, 50_000)
	for name, file := range map[string][]byte{
		"header":   pack(t, binary.AppendUvarint(nil, huge)),
		"rows":     content(header(1<<31-1, 1, 1, 1)),
		"columns":  content(header(1<<23, 255, 255, 1)),
		"overflow": content(header(1<<62, 255, 1<<61, 1)),
		"trees":    content(header(1, 1, 1, 1<<40)),
		"levels":   content(header(1, 1, 1, 1), append([]uint64{huge}, zeros[:20]...)...),
		"nothing":  content(header(0, 0, 0, 0)),
		"negative": content(header(-1, 1, 1, 1)),
		"settings": content(`{"config":{"Trees":1,"MinLeaf":-3},"Rows":1,"Features":1,"Outputs":1}`, zeros[:20]...),
		"names":    content(`{"config":{"Trees":1,"OutputNames":[]},"Rows":1,"Features":1,"Outputs":1}`, zeros[:20]...),
		"no JSON":  content("{\n"),
		// Trees of one leaf have all rows in it: many small ones take room.
		"leaf rows": content(header(2000, 1, 1, 15_000), zeros...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		refused(t, name, file)
		runtime.ReadMemStats(&after)
		// Decompressing takes 50 kB, and room for what it makes.
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: a file of %d bytes takes %d bytes", name, len(file), n)
		}
	}
}

// FuzzUnmarshal reads files, mostly damaged.
func FuzzUnmarshal(f *testing.F) {
	f.Fuzz(func(t *testing.T, file []byte) {
		if g := new(Forest); g.UnmarshalBinary(file) == nil {
			use(t, g)
		}
	})
}

// FuzzContent reads files whose checksum is right, whatever their content.
func FuzzContent(f *testing.F) {
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 {
			return
		}
		if g := new(Forest); g.UnmarshalBinary(pack(t, content)) == nil {
			use(t, g)
		}
	})
}

// use does with a forest what can be done, and saves it: what was read is sound.
func use(t *testing.T, f *Forest) {
	row := f.Input(nil, 0)
	f.Predict(nil, row)
	f.Quantile(row, .5)
	f.QuantileMatrix(mat.NewDense(1, len(row), row), 1)
	f.OutOfBag()
	levels := f.Levels()
	for j, l := range levels {
		levels[j] = l[:min(len(l), 2)]
		if j > 6 {
			levels[j] = l[:1]
		}
	}
	if _, err := f.PredictGrid(nil, levels); err != nil {
		t.Error(err)
	}
	b, err := f.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Forest).UnmarshalBinary(b); err != nil {
		t.Errorf("saved again: %v", err)
	}
}
