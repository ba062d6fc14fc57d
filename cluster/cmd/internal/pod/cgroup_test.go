package pod

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCores(t *testing.T) {
	const quota, period = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  float64
		err   string
	}{
		{"version 2", map[string]string{"cpu.max": "150000 100000\n"}, 1.5, ""},
		{"version 2 without a limit", map[string]string{"cpu.max": "max 100000\n"}, math.Inf(1), ""},
		{"version 1", map[string]string{quota: "20000\n", period: "100000\n"}, .2, ""},
		{"version 1 without a limit", map[string]string{quota: "-1\n", period: "100000\n"}, math.Inf(1), ""},
		{"none", nil, 0, "cpu.cfs_quota_us: no such file"},
		{"half", map[string]string{quota: "20000\n"}, 0, "cpu.cfs_period_us: no such file"},
		{"odd", map[string]string{"cpu.max": "many 100000\n"}, 0, `has ["many" "100000"]; accepted: a quota, or max, and a period`},
		{"empty", map[string]string{"cpu.max": ""}, 0, "has []"},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := cores(dir)
		if c.err == "" && (err != nil || have != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, %v; want %v, %q", c.name, have, err, c.want, c.err)
		}
	}
}

// A pod that is told to end goes on for a while, and says so at once.
func TestLinger(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	left := make(chan time.Time, 1)
	const while = 50 * time.Millisecond
	longer := Linger(ctx, while, func() { left <- time.Now() })
	stop()
	at := <-left
	if longer.Err() != nil {
		t.Error("it ended at once")
	}
	<-longer.Done()
	if d := time.Since(at); d < while {
		t.Errorf("it ended after %v", d)
	}
}
