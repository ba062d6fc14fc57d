package trace

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Files as other programs save them, and the lines that errors name in them.
func TestReadForeignFiles(t *testing.T) {
	good := twoRows(t)
	want, err := decode(strings.NewReader(good), 0, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(good, "\n0,") + 1
	second := strings.Index(good, "\n1,") + 1
	for name, text := range map[string]string{
		"byte order mark":       "\ufeff" + good,
		"CR":                    strings.ReplaceAll(good, "\n", "\r"),
		"CR LF":                 strings.ReplaceAll(good, "\n", "\r\n"),
		"no end of the last":    strings.TrimSuffix(good, "\n"),
		"empty lines, comments": good[:first] + "\n\n# a comment\n" + good[first:second] + "#\n" + good[second:] + "\n\n",
	} {
		got, err := decode(strings.NewReader(text), int64(len(text)), ReadOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for r := range want.Len() {
			if diff := cmp.Diff(want.Row(r), got.Row(r), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%s: row %d: %s", name, r, diff)
			}
		}
	}
	bad := edit(t, edit(t, good, 1, "mark", "\"two\n\nlines\""), 1, "start", "")
	bad = strings.Replace(bad, "\n1,", "\n\n# a comment\n1,", 1)
	bad = strings.Replace(bad, "\n1,2026-01-31T12:00:05.000Z,", "\n1,yesterday,", 1)
	_, err = decode(strings.NewReader(bad), 0, ReadOptions{})
	line := 1 + strings.Count(bad[:strings.Index(bad, "yesterday")], "\n")
	if err == nil || line != 19 || !strings.Contains(err.Error(), "row 2 (line 19): column start is \"yesterday\"") {
		t.Errorf("line %d: %v", line, err)
	}
}

// No error shows more than a line of a few hundred characters.
func TestErrorsAreBounded(t *testing.T) {
	good := twoRows(t)
	long := strings.Repeat("long, \"value\" ", 100_000)
	quoted := `"` + strings.ReplaceAll(long, `"`, `""`) + `"`
	for name, text := range map[string]string{
		"one line":       long,
		"one cell":       quoted,
		"version":        "# meshbench trace " + long,
		"head entry":     strings.Replace(good, "# seed: 7", "# seed: "+long, 1),
		"space":          strings.Replace(good, `"service2"`, `"`+strings.Repeat("s", 1_000_000)+`", "x": 1}`, 1),
		"kind":           strings.Replace(good, `"kind":"block"`, `"kind":"`+strings.Repeat("s", 1_000_000)+`"`, 1),
		"key":            strings.Replace(good, "# seed: 7", "# "+strings.Repeat("k", 100_000)+": 7\n# "+strings.Repeat("k", 100_000)+": 7", 1),
		"column":         strings.Replace(good, "\nstep,", "\n"+quoted+",", 1),
		"cell":           edit(t, good, 1, "d1", quoted),
		"many cells":     edit(t, good, 1, "d1", long),
		"zeros":          string(make([]byte, 1_000_000)),
		"another format": strings.Repeat("<html>\n", 10_000),
	} {
		_, err := decode(strings.NewReader(text), 0, ReadOptions{})
		if err == nil || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, os.DevNull} {
		_, read := Read(path, ReadOptions{})
		_, sum := SHA256(path)
		_, app := OpenAppender(path, Meta{Space: grid(1, 1)})
		for _, err := range []error{read, sum, app} {
			if err == nil || !strings.Contains(err.Error(), "accepted: a regular file") || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func TestHugeValues(t *testing.T) {
	s := grid(1, 1)
	tab := New(Meta{Space: s})
	for step, v := range []float64{0, 5e-324, 1e-8, 4.9e-8, 1e6 + 1e-7, 9_999_999.9999999, 1e7, 1e15, 1e301, math.MaxFloat64} {
		x := mesh.NewMeasurement(s.Layout())
		x.Carried[0], x.Generated[0] = v, v
		x.Service[0] = mesh.Delay{Count: v, Mean: v, P50: v, P95: v, P99: v}
		x.Endpoint[0] = x.Service[0]
		if err := tab.Append(Row{Step: step, Load: mesh.Load{v}, Action: mesh.Action{1, .2}, Measurement: x}); err != nil {
			t.Fatal(err)
		}
	}
	roundTrip(t, tab)
	Audit(tab) // does not panic
}

// roundTrip writes and reads a table, and compares all of it.
func roundTrip(t *testing.T, tab *Table) {
	t.Helper()
	var b, again bytes.Buffer
	if _, err := tab.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := decode(bytes.NewReader(b.Bytes()), int64(b.Len()), ReadOptions{Space: tab.Space()})
	if err != nil {
		t.Fatalf("%v, reading %.2000s", err, b.String())
	}
	if diff := cmp.Diff(tab.Meta(), got.Meta(), sameSpace, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("head: %s", diff)
	}
	for r := range tab.Len() {
		if diff := cmp.Diff(tab.Row(r), got.Row(r), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-15, resolution*.52), cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
			t.Fatalf("row %d: %s", r, diff)
		}
	}
	if _, err := got.WriteTo(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Fatalf("written again, the file differs: %v", err)
	}
}

// Any table that is written is read back equal.
func TestAnyTableRoundTrips(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 7))
	letters := []rune("ab ,\"'#:;\\\té世\x00\ufeff{}[]=")
	text := func() string {
		s := make([]rune, random.IntN(8))
		for k := range s {
			s[k] = letters[random.IntN(len(letters))]
		}
		return strings.TrimSpace(string(s))
	}
	value := func() float64 {
		switch random.IntN(5) {
		case 0:
			return math.NaN()
		case 1:
			return 0
		case 2:
			return math.Exp(random.NormFloat64() * 100)
		}
		return random.Float64() * 100
	}
	spaces := []*mesh.Space{grid(1, 1), grid(1, 3), grid(2, 2), grid(2, 4), grid(4, 2), grid(3, 11), graph(t)}
	for trial := range 300 {
		s := spaces[random.IntN(len(spaces))]
		meta := Meta{Space: s, Scenario: text(), Testbed: text(), Load: text(), Actions: text(), Seed: random.Uint64(), Reference: random.IntN(3),
			StepSeconds: math.Exp(random.NormFloat64() * 20), TimeScale: random.Float64() + .01}
		if key := strings.ReplaceAll(text(), ":", ""); strings.TrimSpace(key) == key && key != "" {
			meta.Extra = map[string]string{key: text()}
		}
		tab, step := New(meta), 0
		for range 1 + random.IntN(5) {
			step += random.IntN(3)
			x := mesh.NewMeasurement(s.Layout())
			for _, v := range [][]float64{x.Generated, x.Carried, x.Blocked, x.Failed} {
				for k := range v {
					v[k] = value()
				}
			}
			for _, v := range [][]mesh.Delay{x.Service, x.Endpoint} {
				for k := range v {
					v[k] = mesh.Delay{Count: value(), Mean: value(), P50: value(), P95: value(), P99: value()}
				}
			}
			x.Mark = text()
			if random.IntN(4) == 0 {
				x.Mark = "a\r\nb\n" + x.Mark
			}
			row := Row{Step: step, Load: make(mesh.Load, s.Mesh().M()), Measurement: x}
			if random.IntN(2) == 0 {
				row.Start = time.Unix(random.Int64N(4e9), random.Int64N(1e9)).UTC()
			}
			choice := make([]int, len(s.Choices()))
			for h, n := range s.Choices() {
				choice[h] = random.IntN(n)
			}
			row.Action = s.Action(nil, choice)
			for i := range row.Load {
				if row.Load[i] = value(); math.IsNaN(row.Load[i]) {
					row.Load[i] = 0
				}
			}
			if err := tab.Append(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := meta.Validate(); err != nil {
			t.Fatalf("trial %d: %v", trial, err)
		}
		roundTrip(t, tab)
	}
}

func TestWriteErrors(t *testing.T) {
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 500, 1))
	full := errors.New("full")
	for _, room := range []int{0, 10, 100_000} {
		if n, err := tab.WriteTo(&narrow{room, full}); !errors.Is(err, full) || n > int64(room) {
			t.Errorf("room for %d bytes: %d written, %v", room, n, err)
		}
	}
	if _, err := tab.Subset([]int{3, 1}).WriteTo(io.Discard); err == nil || !strings.Contains(err.Error(), "row 2: step 1 after step 3") {
		t.Errorf("falling steps: %v", err)
	}
}

type narrow struct {
	room int
	err  error
}

func (w *narrow) Write(b []byte) (int, error) {
	n := min(len(b), w.room)
	w.room -= n
	if n < len(b) {
		return n, w.err
	}
	return n, nil
}

// To read and audit a trace takes a small multiple of its size.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads a large trace")
	}
	path := filepath.Join(t.TempDir(), "large.csv")
	tab := table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 2000, 1))
	var b bytes.Buffer
	tab.WriteTo(&b)
	head := strings.Index(b.String(), "\n0,") + 1
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(b.Bytes()[:head])
	for step := range 40 { // every step often, so that they do not fall
		for line := range strings.Lines(b.String()[head:]) {
			_, rest, _ := strings.Cut(line, ",")
			if _, err := io.WriteString(f, string(rune('0'+step/10))+string(rune('0'+step%10))+","+rest); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.Close()
	info, _ := os.Stat(path)
	size := float64(info.Size())
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, most := make(chan bool), make(chan float64)
	go func() {
		high := 0.0
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			high = max(high, float64(now.HeapAlloc)-float64(before.HeapAlloc))
			select {
			case <-stop:
				most <- high
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	big, err := Read(path, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	Audit(big)
	close(stop)
	if high := <-most; high > 5*size {
		t.Errorf("%.0f MB for a file of %.0f MB, %.1f times", high/1e6, size/1e6, high/size)
	} else {
		t.Logf("%.1f times the %.0f MB of the file", high/size, size/1e6)
	}
}

// Whatever a file holds, reading it gives a table that can be written and read
// again, or one line of bounded length.
func FuzzRead(f *testing.F) {
	good := twoRows(f)
	f.Add([]byte(good))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(good, "\n", "\r")))
	f.Add([]byte(versionOne(f, table(f, syntheticMeta(grid(1, 2)), synthetic(grid(1, 2), 2, 1)))))
	var b bytes.Buffer
	table(f, syntheticMeta(graph(f)), synthetic(graph(f), 2, 1)).WriteTo(&b)
	f.Add(b.Bytes())
	f.Add([]byte("# meshbench trace 2\n"))
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tab, err := decode(bytes.NewReader(data), int64(len(data)), ReadOptions{})
		if err != nil {
			if len(err.Error()) > 2000 || strings.ContainsAny(err.Error(), "\r\n") {
				t.Fatalf("%d bytes of error: %.300q", len(err.Error()), err)
			}
			return
		}
		Audit(tab)
		var one, two bytes.Buffer
		if _, err := tab.WriteTo(&one); err != nil {
			t.Fatal(err)
		}
		again, err := decode(bytes.NewReader(one.Bytes()), 0, ReadOptions{})
		if err != nil {
			t.Fatalf("%v; written: %q", err, one.String())
		}
		if again.WriteTo(&two); !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Fatalf("written %q, then %q", one.String(), two.String())
		}
	})
}
