package trace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
)

func TestAppender(t *testing.T) {
	meta, rows := syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 60, 1)
	path := filepath.Join(t.TempDir(), "trace.csv")
	for from := 0; from < len(rows); from += 20 {
		a, err := OpenAppender(path, meta)
		if err != nil {
			t.Fatal(err)
		}
		if a.Next() != from || a.Rows() != from || a.Dropped() != "" {
			t.Fatalf("next step %d, %d rows, dropped %q; want %d and nothing", a.Next(), a.Rows(), a.Dropped(), from)
		}
		for _, row := range rows[from : from+20] {
			if err := a.Append(row); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Append(rows[from]); err == nil || !strings.Contains(err.Error(), "already there") {
			t.Errorf("a step twice: %v", err)
		}
		bad := rows[from]
		bad.Step, bad.Load = 1000, nil
		if err := a.Append(bad); err == nil {
			t.Error("a row without loads was appended")
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	var want bytes.Buffer
	table(t, meta, rows).WriteTo(&want)
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("appended rows differ from a table that was written at once")
	}
}

// However the last line is torn, whole rows stay and the tear is cut off.
func TestAppenderDropsTornLine(t *testing.T) {
	meta, rows := syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 3, 1)
	var file bytes.Buffer
	table(t, meta, rows).WriteTo(&file)
	whole := bytes.LastIndexByte(bytes.TrimSuffix(file.Bytes(), []byte("\n")), '\n') + 1
	path := filepath.Join(t.TempDir(), "trace.csv")
	for size := whole; size <= file.Len(); size++ {
		if err := os.WriteFile(path, file.Bytes()[:size], 0o644); err != nil {
			t.Fatal(err)
		}
		a, err := OpenAppender(path, meta)
		if err != nil {
			t.Fatal(err)
		}
		want, next := string(file.Bytes()[whole:size]), 2
		if size == file.Len() {
			want, next = "", 3
		}
		if a.Dropped() != want || a.Next() != next {
			t.Fatalf("torn at %d: dropped %q, next step %d; want %q, %d", size, a.Dropped(), a.Next(), want, next)
		}
		for _, row := range rows[next:] {
			if err := a.Append(row); err != nil {
				t.Fatal(err)
			}
		}
		a.Close()
		if got, _ := os.ReadFile(path); !bytes.Equal(got, file.Bytes()) {
			t.Fatalf("torn at %d and resumed, the file differs", size)
		}
	}
}

// A file that ends within its head is begun again.
func TestAppenderCompletesHead(t *testing.T) {
	meta := syntheticMeta(grid(2, 2))
	want := string(appendHead(nil, meta.defaults()))
	for size := 0; size <= len(want); size += 7 {
		path := filepath.Join(t.TempDir(), "new", "trace.csv")
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, []byte(want[:size]), 0o644)
		a, err := OpenAppender(path, meta)
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		if got, _ := os.ReadFile(path); string(got) != want || a.Next() != 0 {
			t.Fatalf("after %d bytes of the head: %q", size, got)
		}
	}
}

func TestAppenderRefuses(t *testing.T) {
	meta := syntheticMeta(grid(2, 2))
	good := twoRows(t)
	for _, c := range []struct {
		name  string
		file  string
		meta  func(m *Meta)
		words string
	}{
		{"another mesh", good, func(m *Meta) { m.Space = grid(2, 3) }, "it is of scenario synthetic, service1,service2 on node1,node2; p11 p12 p21 p22 b1 b2, not scenario synthetic, service1,service2 on node1,node2,node3;"},
		{"other levels", good, func(m *Meta) { m.Space = mesh.Grid(m.Space.Mesh(), 3) }, "knobs have other points"},
		{"another scenario", good, func(m *Meta) { m.Scenario = "b" }, `scenario is "synthetic", not "b"`},
		{"another seed", good, func(m *Meta) { m.Seed = 8 }, `seed is "7", not "8"`},
		{"another time scale", good, func(m *Meta) { m.TimeScale = 1 }, "time scale"},
		{"a further entry", good, func(m *Meta) { m.Extra["x"] = "y" }, `no "x"`},
		{"an entry less", good, func(m *Meta) { m.Extra = nil }, "settle seconds"},
		{"another schema", strings.Replace(good, ",mark\n", ",remark\n", 1), nil, "other columns"},
		{"a bad row", edit(t, good, 1, "l1", "x"), nil, "row 1"},
		{"another file", "hello\n", nil, "line 1"},
		{"an invalid head", good, func(m *Meta) { m.StepSeconds = -5 }, "step seconds"},
	} {
		path := filepath.Join(t.TempDir(), "trace.csv")
		if err := os.WriteFile(path, []byte(c.file), 0o644); err != nil {
			t.Fatal(err)
		}
		m := meta
		m.Extra = map[string]string{"settle seconds": "0.5"}
		if c.meta != nil {
			c.meta(&m)
		}
		_, err := OpenAppender(path, m)
		if err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.name, err, c.words)
		}
		if data, _ := os.ReadFile(path); string(data) != c.file {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o644)
	if _, err := OpenAppender(filepath.Join(file, "trace.csv"), meta); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder that is a file: %v", err)
	}
}

func TestAppenderLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.csv")
	a, err := OpenAppender(path, Meta{Space: grid(2, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAppender(path, Meta{Space: grid(2, 2)}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opened twice: %v", err)
	}
	a.Close()
	if a, err = OpenAppender(path, Meta{Space: grid(2, 2)}); err != nil {
		t.Fatal(err)
	}
	a.Close()
}

// TestKilledAppender kills a process that appends, at random moments, and
// lets the next go on. Every row that the process told of must be there, once.
func TestKilledAppender(t *testing.T) {
	if path := os.Getenv("TRACE_TEST_APPEND"); path != "" {
		appendForever(path)
	}
	path := filepath.Join(t.TempDir(), "trace.csv")
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAppender$")
		cmd.Env = append(os.Environ(), "TRACE_TEST_APPEND="+path)
		var told bytes.Buffer
		cmd.Stdout = &told
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(50+random.IntN(200)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		lines := strings.Split(told.String(), "\n")
		if len(lines) < 2 {
			continue // killed before its first row
		}
		last, err := strconv.Atoi(lines[len(lines)-2])
		if err != nil {
			t.Fatalf("the process said %q", told.String())
		}
		a, err := OpenAppender(path, syntheticMeta(grid(2, 2)))
		if err != nil {
			t.Fatal(err)
		}
		if a.Next() <= last || a.Rows() != a.Next() {
			t.Errorf("step %d was appended; the file goes to %d with %d rows", last, a.Next()-1, a.Rows())
		}
		a.Close()
	}
	tab, err := Read(path, ReadOptions{MinRows: 20})
	if err != nil {
		t.Fatal(err)
	}
	for r := range tab.Len() {
		if tab.Row(r).Step != r {
			t.Fatalf("row %d is of step %d", r, tab.Row(r).Step)
		}
	}
}

func appendForever(path string) {
	row := synthetic(grid(2, 2), 2, 1)[1]
	a, err := OpenAppender(path, syntheticMeta(grid(2, 2)))
	for err == nil {
		row.Step = a.Next()
		if err = a.Append(row); err == nil {
			fmt.Println(row.Step)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

// A row of another program whose mark has several lines, cut within that mark.
func TestAppenderDropsTornMark(t *testing.T) {
	meta, rows := syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 3, 1)
	var file bytes.Buffer
	table(t, meta, rows).WriteTo(&file)
	whole := file.Len()
	last := strings.TrimSuffix(file.String()[bytes.LastIndexByte(file.Bytes()[:whole-1], '\n')+1:], "\n")
	torn := "3" + last[1:] + "\"node1,\n\"\"the first\"\", fai"
	path := filepath.Join(t.TempDir(), "trace.csv")
	for size := range len(torn) {
		if err := os.WriteFile(path, []byte(file.String()+torn[:size]), 0o644); err != nil {
			t.Fatal(err)
		}
		a, err := OpenAppender(path, meta)
		if err != nil {
			t.Fatal(err)
		}
		if a.Dropped() != torn[:size] || a.Next() != 3 {
			t.Fatalf("torn at %d: dropped %q, next step %d", size, a.Dropped(), a.Next())
		}
		a.Close()
		if got, _ := os.ReadFile(path); !bytes.Equal(got, file.Bytes()) {
			t.Fatalf("torn at %d: the file differs", size)
		}
	}
}

// What stands after a stray quote is never taken for a torn end.
func TestAppenderKeepsRowsAfterStrayQuote(t *testing.T) {
	var file bytes.Buffer
	table(t, syntheticMeta(grid(2, 2)), synthetic(grid(2, 2), 5, 1)).WriteTo(&file)
	text := edit(t, file.String(), 2, "mark", `"`)
	path := filepath.Join(t.TempDir(), "trace.csv")
	os.WriteFile(path, []byte(text), 0o644)
	if _, err := OpenAppender(path, syntheticMeta(grid(2, 2))); err == nil || !strings.Contains(err.Error(), "a quoted cell has no end") {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); string(got) != text {
		t.Error("the file was changed")
	}
}

// A file of version 1 goes on although its writers knew nothing of what heads now
// say besides.
func TestAppendVersion1Extra(t *testing.T) {
	text, err := os.ReadFile("../../datasets/local.csv")
	if err != nil {
		t.Skip(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	path := filepath.Join(t.TempDir(), "old.csv")
	if err := os.WriteFile(path, []byte(strings.Join(lines[:20], "")), 0o644); err != nil {
		t.Fatal(err)
	}
	old, err := Read(path, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	meta := old.Meta()
	meta.Scenario, meta.Extra = "paper", map[string]string{"scenario hash": "1"}
	a, err := OpenAppender(path, meta)
	if err != nil {
		t.Fatal(err)
	}
	if a.Rows() != old.Len() {
		t.Errorf("%d rows, want %d", a.Rows(), old.Len())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
