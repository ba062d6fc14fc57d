package prometheus_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/prometheus"
)

// A Prometheus scrapes a counter that rises by 40 in a second; its rate is what a
// column has. It runs where there is a program prometheus, such as of Debian's
// package, or where $MESHBENCH_PROMETHEUS names one.
func TestReal(t *testing.T) {
	program := os.Getenv("MESHBENCH_PROMETHEUS")
	if program == "" {
		program = "prometheus"
	}
	program, err := exec.LookPath(program)
	if err != nil || testing.Short() {
		t.Skip("needs a prometheus, in PATH or named by $MESHBENCH_PROMETHEUS, and some seconds")
	}
	begin := time.Now()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "# TYPE queue counter\nqueue %f\n", 40*time.Since(begin).Seconds())
	}))
	t.Cleanup(target.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("scrape_configs: [{job_name: x, scrape_interval: 250ms, scrape_timeout: 250ms, static_configs: [{targets: [%q]}]}]\n", strings.TrimPrefix(target.URL, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	c.Dir = dir
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		c.Wait()
	})
	p, err := prometheus.New(parse(t, fmt.Sprintf(quotes, "http://127.0.0.1:1", "http://127.0.0.1:1", "http://"+address)))
	if err != nil {
		t.Fatal(err)
	}
	const limit = time.Minute
	for {
		values, err := p.Measure(ctx, time.Time{}, time.Now())
		// Of cAdvisor there is nothing.
		if err == nil && values[0] != values[0] && values[1] > 36 && values[1] < 44 {
			if err := p.Check(ctx); err != nil {
				t.Error(err)
			}
			return
		}
		if time.Since(begin) > limit {
			t.Fatalf("after %v it measured %v, %v; want NaN and 40", limit, values, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
