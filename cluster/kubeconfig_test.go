// Package cluster has the tests of the scripts in this folder.
package cluster

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// The controller's kubeconfig has its token and the cluster's address and
// certificate, nothing of the administrator's, and is for its owner alone.
func TestKubeconfig(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("needs kubectl")
	}
	const secret = "the-administrator's"
	var asked string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer "+secret {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		asked = r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(map[string]any{"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "status": map[string]any{"token": "of-the-controller"}})
	}))
	defer server.Close()
	dir := t.TempDir()
	admin, file := filepath.Join(dir, "admin"), filepath.Join(dir, "controller")
	pem := []byte("-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString(server.Certificate().Raw) + "\n-----END CERTIFICATE-----\n")
	cfg := api.NewConfig()
	cfg.Clusters["c"] = &api.Cluster{Server: server.URL, CertificateAuthorityData: pem}
	cfg.Clusters["other"] = &api.Cluster{Server: "https://other.example"}
	cfg.AuthInfos["admin"] = &api.AuthInfo{Token: secret}
	cfg.Contexts["x"] = &api.Context{Cluster: "c", AuthInfo: "admin"}
	cfg.CurrentContext = "x"
	if err := clientcmd.WriteToFile(*cfg, admin); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil { // as somebody left it
		t.Fatal(err)
	}
	cmd := exec.Command("./kubeconfig.sh", file, "elsewhere", "x-controller")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+admin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "/api/v1/namespaces/elsewhere/serviceaccounts/x-controller/token"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), "other.example") {
		t.Errorf("%s, %v", text, err)
	}
	got, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	context := got.Contexts[got.CurrentContext]
	if c := got.Clusters[context.Cluster]; c.Server != server.URL || string(c.CertificateAuthorityData) != string(pem) || len(got.AuthInfos) != 1 || got.AuthInfos[context.AuthInfo].Token != "of-the-controller" || context.Namespace != "elsewhere" {
		t.Errorf("%s", text)
	}
	if list, _ := filepath.Glob(file + ".*"); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}
