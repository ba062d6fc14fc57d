package s3_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/sweep"
	"github.com/meshbench/meshbench/lab/sweep/s3"
	"github.com/meshbench/meshbench/lab/sweep/storetest"
)

// address is the URL of an S3 server with a bucket: that of MESHBENCH_S3, as Open
// takes it, or one that is built from the folder server.
func address(t *testing.T) string {
	t.Helper()
	if a := os.Getenv("MESHBENCH_S3"); a != "" {
		return a
	}
	program := filepath.Join(t.TempDir(), "server")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "server"
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("needs an S3 server: MESHBENCH_S3, or the modules of ./server: %v: %s", err, out)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "any")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "any")
	cmd := exec.Command(program, "sweeps")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "s3://sweeps/PREFIX?endpoint=" + strings.TrimSpace(line)
}

func TestBucket(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a server")
	}
	a := address(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) sweep.Store {
		s, err := s3.Open(context.Background(), strings.Replace(a, "PREFIX", fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), n.Add(1)), 1))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	for url, want := range map[string]string{
		strings.Replace(a, "sweeps", "nobody", 1): "NoSuchBucket: ",
	} {
		if _, err := s3.Open(context.Background(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Trainings that only wait, by up to 1,000 workers, with one bucket.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a server")
	}
	a := address(t)
	policy := make([]byte, 40<<10)
	for _, workers := range []int{1, 10, 100, 1000} {
		s, err := s3.Open(context.Background(), strings.Replace(a, "PREFIX", fmt.Sprintf("throughput-%d-%d", time.Now().UnixNano(), workers), 1))
		if err != nil {
			t.Fatal(err)
		}
		n := min(5*workers, 2000)
		var all []sweep.Task
		for k := range n {
			all = append(all, sweep.Task{Scenario: "paper", Seed: uint64(k)})
		}
		const training = 500 * time.Millisecond
		begin := time.Now()
		state, err := sweep.Do(context.Background(), all, sweep.Config{Store: s, Workers: workers, Do: func(_ context.Context, task sweep.Task) (sweep.Result, []byte, error) {
			time.Sleep(training)
			return sweep.Result{Task: task, Score: 1}, policy, nil
		}})
		took := time.Since(begin).Seconds()
		if err != nil || state.Now != n {
			t.Fatalf("%d workers: %+v, %v", workers, state, err)
		}
		if c, err := sweep.Collect(context.Background(), s, all[:min(n, 100)]); err != nil || c.Missing > 0 {
			t.Errorf("%d missing, %v", c.Missing, err)
		}
		t.Logf("%4d workers: %5.0f tasks/s, %.0f %% of what the trainings alone would give", workers, float64(n)/took, 100*float64(n)/took*training.Seconds()/float64(workers))
	}
}

// What a server says is said, in one line.
func TestServersWords(t *testing.T) {
	const list = `<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>`
	for answer, want := range map[string]string{
		list: "",
		`<Error><Code>AccessDenied</Code><Message>User pat may not list b</Message></Error>`:                "AccessDenied: User pat may not list b",
		`<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting eu-central-1</Message></Error>`: "AuthorizationHeaderMalformed: expecting eu-central-1",
		"no bucket today:\n  maintenance": "400 Bad Request: no bucket today: maintenance",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answer != list {
				w.WriteHeader(http.StatusBadRequest)
			}
			if r.Method != http.MethodHead {
				io.WriteString(w, answer)
			}
		}))
		_, err := s3.Open(context.Background(), "s3://bucket/x?endpoint="+server.URL)
		if server.Close(); (err == nil) != (want == "") || err != nil && err.Error() != "s3: bucket bucket at "+server.URL+": "+want {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"s3://":                  "accepted: s3://BUCKET/PREFIX",
		"http://bucket/x":        "accepted: s3://BUCKET/PREFIX",
		"s3://b/x?enpoint=y":     `unknown option "enpoint"`,
		"s3://b?endpoint=abc":    "accepted: the URL of a server",
		"s3://user:canary@b/x":   "bucket b has keys before it",
		"s3://b/x?secret=canary": `unknown option "secret"`,
		"s3://b?endpoint=http://user:canary@127.0.0.1": "accepted: the URL of a server without keys",
		"s3://user:canary@b/%zz":                       "accepted: s3://BUCKET/PREFIX",
	} {
		if _, err := s3.Open(context.Background(), url); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: error %v, want %q and no secret", url, err, want)
		}
	}
}
