package istio

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/trace"
)

// A request that comes to a pod's application from outside the mesh, without a
// certificate of it, is refused; the same pods serve the mesh.
func TestClusterPlaintextRefused(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	by, err := bed.plane.pods.list(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	address := func(workload, port string) string { return net.JoinHostPort(by[workload][0].Status.PodIP, port) }
	client := &http.Client{Timeout: 5 * time.Second}
	get := func(url string) (int, error) {
		resp, err := client.Get(url)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, nil
	}
	for workload, path := range map[string]string{"node1": "/service1/items/7", "node2": "/service2/items/7", "front": "/service1/items/7"} {
		at := address(workload, "8080")
		if status, err := get("http://" + at + path); err == nil {
			t.Errorf("plain HTTP to the %s: status %d, want a closed connection", workload, status)
		} else {
			t.Logf("plain HTTP to the %s: %v", workload, err)
		}
		err := func() error {
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", at, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"istio"}})
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			_, err = c.Read(make([]byte, 1)) // a missing certificate is told after the handshake
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("TLS to the %s without a certificate: %v, want that one is asked for", workload, err)
		}
		t.Logf("TLS to the %s without a certificate: %v", workload, err)
	}
	// The pods can be reached: their control port is not the mesh's, and asks for
	// the token.
	if status, err := get("http://" + address("front", controlPort) + "/control"); status != http.StatusUnauthorized {
		t.Errorf("the front's control port without the token: status %d, %v", status, err)
	}
	x := step(t, bed, action(.5, .5, 0, 0))
	for e, d := range x.Endpoint {
		if d.Count == 0 {
			t.Errorf("through the mesh: no answer at endpoint %s", bed.Space().Layout().EndpointName("", e))
		}
	}
}

// With the controller's own credentials, what the testbed needs is allowed, and
// nothing else.
func TestClusterControllerRole(t *testing.T) {
	paperConfig(t)
	ctx := context.Background()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	const space = "meshbench"
	request, err := admin.CoreV1().ServiceAccounts(space).CreateToken(ctx, "controller", &authnv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = request.Status.Token
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is changed, also where a request were allowed.
	dry := []string{metav1.DryRunAll}
	patch, empty := metav1.PatchOptions{DryRun: dry}, []byte(`{"metadata":{"labels":{"x":"y"}}}`)
	pods, err := kube.CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: "app=node"})
	if err != nil || len(pods.Items) == 0 {
		t.Fatalf("listing pods: %v", err)
	}
	if _, err := dyn.Resource(virtualServices).Namespace(space).Patch(ctx, "service1", types.MergePatchType, empty, patch); err != nil {
		t.Errorf("patching VirtualService service1: %v", err)
	}
	node := pods.Items[0].Name
	bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "x"}}}}
	for what, err := range map[string]error{
		"create a pod":                     second(kube.CoreV1().Pods(space).Create(ctx, bare, metav1.CreateOptions{DryRun: dry})),
		"delete a pod":                     kube.CoreV1().Pods(space).Delete(ctx, node, metav1.DeleteOptions{DryRun: dry}),
		"patch a pod":                      second(kube.CoreV1().Pods(space).Patch(ctx, node, types.MergePatchType, empty, patch)),
		"exec in a pod":                    kube.CoreV1().RESTClient().Post().Namespace(space).Resource("pods").Name(node).SubResource("exec").Do(ctx).Error(),
		"read a pod's log":                 kube.CoreV1().RESTClient().Get().Namespace(space).Resource("pods").Name(node).SubResource("log").Do(ctx).Error(),
		"read another secret":              second(kube.CoreV1().Secrets(space).Get(ctx, "istio-ca-secret", metav1.GetOptions{})),
		"list secrets":                     second(kube.CoreV1().Secrets(space).List(ctx, metav1.ListOptions{})),
		"patch the settings":               second(kube.CoreV1().ConfigMaps(space).Patch(ctx, settingsName, types.MergePatchType, empty, patch)),
		"patch a Deployment":               second(kube.AppsV1().Deployments(space).Patch(ctx, "node1", types.MergePatchType, empty, patch)),
		"scale a Deployment":               second(kube.AppsV1().Deployments(space).GetScale(ctx, "node1", metav1.GetOptions{})),
		"patch a DestinationRule":          second(dyn.Resource(destinationRules).Namespace(space).Patch(ctx, "service1", types.MergePatchType, empty, patch)),
		"patch the front's VirtualService": second(dyn.Resource(virtualServices).Namespace(space).Patch(ctx, "front", types.MergePatchType, empty, patch)),
		"delete a VirtualService":          dyn.Resource(virtualServices).Namespace(space).Delete(ctx, "service1", metav1.DeleteOptions{DryRun: dry}),
		"list pods of another namespace":   second(kube.CoreV1().Pods("istio-system").List(ctx, metav1.ListOptions{})),
		"change its own role":              second(kube.RbacV1().Roles(space).Patch(ctx, "controller", types.MergePatchType, empty, patch)),
		"read its namespace":               second(kube.CoreV1().Namespaces().Get(ctx, space, metav1.GetOptions{})),
		"read the cluster's nodes":         second(kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})),
		"make a token for another account": second(kube.CoreV1().ServiceAccounts(space).CreateToken(ctx, "default", &authnv1.TokenRequest{}, metav1.CreateOptions{})),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, want Forbidden", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// The command itself, interrupted or killed: a whole action stays in force, the
// trace can be read, and the same command goes on.
func TestClusterCommandEnds(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	space := bed.Space()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, file := filepath.Join(dir, "meshbench"), filepath.Join(dir, "istio.csv")
	build := exec.Command("go", "build", "-o", program, "./lab/cmd/meshbench")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const steps = 14
	start := func() (*exec.Cmd, *bytes.Buffer) {
		cmd := exec.Command(program, "collect", "-testbed", "istio", "-steps", fmt.Sprint(steps), "-seed", "5", "-reference", "-1", file)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, &out
	}
	rows := func() int {
		table, err := trace.Read(file, trace.ReadOptions{})
		if err != nil {
			return 0
		}
		return table.Len()
	}
	const applying, measuring = 10 * time.Millisecond, 500 * time.Millisecond
	type end struct {
		signal syscall.Signal
		after  time.Duration // the row
		rows   int
		force  []routing
		block  map[string]float64
	}
	var ends []end
	for k, e := range []end{{signal: syscall.SIGINT, after: applying}, {signal: syscall.SIGINT, after: measuring},
		{signal: syscall.SIGKILL, after: measuring}, {signal: syscall.SIGKILL, after: applying}} {
		cmd, out := start()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		before := rows()
		for rows() < before+2 {
			select {
			case err := <-done:
				t.Fatalf("run %d ended by itself: %v: %s", k+1, err, out)
			case <-time.After(5 * time.Millisecond):
			}
		}
		time.Sleep(e.after)
		cmd.Process.Signal(e.signal)
		err := <-done
		if e.signal == syscall.SIGINT && (cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "the same command goes on")) {
			t.Errorf("interrupted: %v: %s", err, out)
		}
		if _, err := trace.Read(file, trace.ReadOptions{}); err != nil {
			t.Fatalf("the trace after %v: %v", e.signal, err)
		}
		setting, err := bed.plane.control.Get(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		e.rows, e.force, e.block = rows(), inAPI(t, bed), setting.Block
		ends = append(ends, e)
	}
	cmd, out := start()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	table, err := trace.Read(file, trace.ReadOptions{})
	if err != nil || table.Len() != steps {
		t.Fatalf("%d rows of %d: %v", table.Len(), steps, err)
	}
	last := table.Row(steps - 1).Action
	wantInAPI(t, bed, last)
	// In force was the action of the last row, or of the one that was to come.
	for _, e := range ends {
		is := func(a mesh.Action, c int) bool { return slices.Equal(e.force[c].weights, Percent(space.RouteOf(a, c))) }
		whole := func(a mesh.Action) bool {
			for i, name := range space.Mesh().ServiceNames() { // each is one call
				if !is(a, i) || e.block[name] != space.BlockOf(a, i) {
					return false
				}
			}
			return true
		}
		before, coming := table.Row(e.rows-1).Action, table.Row(e.rows).Action
		t.Logf("%v %v after row %d: in force %v, blocking %v; %s, then %s", e.signal, e.after, e.rows-1, e.force, e.block, space.Format(before), space.Format(coming))
		for i, name := range space.Mesh().ServiceNames() {
			if !is(before, i) && !is(coming, i) {
				t.Errorf("%s is routed %v", name, e.force[i])
			}
		}
		// A kill between two writings is the one moment that nothing can be done
		// about (see the package's comment); the run that went on put it right.
		if !whole(before) && !whole(coming) && !(e.signal == syscall.SIGKILL && e.after == applying) {
			t.Error("no whole action is in force")
		}
	}
}
