#!/bin/bash
# start.sh PART: starts a part of the control plane unless it runs. `up` runs
# all of them in order; tests start again what they stopped.
. "$(dirname "$0")/env.sh"
mkdir -p "$RUN" "$LOGS"

network() {
  mkdir -p "$SOCKETS" && echo "$ROOT" >"$SOCKETS/owner"
  ip netns list | grep -qw $NETNS || ip netns add $NETNS
  ip -n $NETNS link set lo up
  ip -n $NETNS link show node0 >/dev/null 2>&1 || {
    ip -n $NETNS link add node0 type bridge # no dummy devices here
    ip -n $NETNS addr add $HOST/24 dev node0
    ip -n $NETNS link set node0 up
  }
  inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

containerd_() {
  running containerd && return
  mkdir -p "$RUN/cni"
  cat >"$RUN/cni/10-bridge.conflist" <<Y
{"cniVersion":"0.4.0","name":"meshbench","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
Y
  cat >"$RUN/containerd.toml" <<Y
version = 2
root = "$RUN/containerd"
state = "$SOCKETS/containerd"
[grpc]
  address = "$SOCKETS/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "meshbench.local/pause:local"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE a pod cannot lower its score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
Y
  begin containerd "$PYTHON" "$HERE/short-slices.py" containerd --config "$RUN/containerd.toml"
  until_ 20 containerd ctr_ version
}

# images imports those that changed since they were imported.
images() {
  for tar in "$IMAGES"/*.tar; do
    local mark
    mark=$RUN/imported-$(basename "$tar")
    [ "$mark" -nt "$tar" ] && continue
    ctr_ images import "$tar" >/dev/null && touch "$mark"
  done
}

etcd_() {
  running etcd && return
  begin etcd etcd --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync=true --auto-compaction-retention=1
}

apiserver() {
  running apiserver || begin apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --bind-address=0.0.0.0 --secure-port=6443 --advertise-address=$HOST --service-cluster-ip-range=10.96.0.0/16 \
    --authorization-mode=Node,RBAC --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-client-certificate="$PKI/admin.crt" --kubelet-client-key="$PKI/admin.key" --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-preferred-address-types=InternalIP --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc --api-audiences=https://kubernetes.default.svc \
    --enable-aggregator-routing=true --allow-privileged=true --endpoint-reconciler-type=none --profiling=false --cert-dir="$RUN/apiserver"
  until_ 120 "API server" kubectl_ get --raw /readyz
}

controllers() {
  running controller-manager || begin controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 --node-monitor-grace-period=5m \
    --controllers=deployment-controller,replicaset-controller,serviceaccount-controller,serviceaccount-token-controller,endpoints-controller,endpointslice-controller,namespace-controller,garbage-collector-controller,job-controller,persistentvolume-binder-controller,root-ca-certificate-publisher-controller,pod-garbage-collector-controller,node-lifecycle-controller
  running scheduler || begin scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
}

kubelet() {
  running kubelet && return
  mkdir -p "$RUN/kubelet"
  cat >"$RUN/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
address: $HOST
cgroupDriver: cgroupfs
containerRuntimeEndpoint: unix://$SOCKETS/containerd.sock
failCgroupV1: false
failSwapOn: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
registerNode: true
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
podLogsDir: $RUN/podlogs
syncFrequency: 10s
Y
  begin kubelet "$BIN/kubelet" --config="$RUN/kubelet.yaml" --kubeconfig="$PKI/kubelet.kubeconfig" --hostname-override=n1 --node-ip=$HOST \
    --root-dir="$RUN/kubelet" --cert-dir="$RUN/kubelet/pki" --v=2
}

istio_objects() {
  local istio
  istio=$(cd "$HERE/control-plane" && $GO list -m -f '{{.Dir}}' istio.io/istio)
  kubectl_ apply --server-side -f "$istio/manifests/charts/base/files/crd-all.gen.yaml" >/dev/null
  "$STATE/venv/bin/python" "$HERE/istio.py" "$istio" $HOST | kubectl_ apply -f - >/dev/null
}

istiod() {
  running istiod || { mkdir -p "$RUN/istiod"
    begin istiod env POD_NAME=istiod-host POD_NAMESPACE=istio-system REVISION=default CLUSTER_ID=Kubernetes PILOT_CERT_PROVIDER=istiod JWT_POLICY=third-party-jwt \
      PILOT_ENABLE_METADATA_EXCHANGE=false PILOT_ENABLE_ALPN_FILTER=false PILOT_DEBOUNCE_AFTER=10ms PILOT_DEBOUNCE_MAX=1s ENABLE_NATIVE_SIDECARS=true \
      VALIDATION_WEBHOOK_CONFIG_NAME= INJECTION_WEBHOOK_CONFIG_NAME=istio-sidecar-injector GOMEMLIMIT=1GiB \
      "$BIN/pilot-discovery" discovery --kubeconfig "$PKI/admin.kubeconfig" --httpAddr 127.0.0.1:8081 --grpcAddr :15010 --secureGRPCAddr :15012 \
      --httpsAddr :15017 --monitoringAddr 127.0.0.1:15014 --domain cluster.local --meshConfig "$RUN/istiod/none" --log_output_level=default:info; }
  until_ 90 istiod inside curl --silent --fail --max-time 2 127.0.0.1:8081/ready
}

# webhook waits until pods can be made: node, injection, namespace.
webhook() {
  until_ 90 node kubectl_ wait --for=condition=Ready node/n1 --timeout=1s
  until_ 60 "injection webhook" bash -c "[ -n \"\$(nsenter --net=/run/netns/$NETNS kubectl --kubeconfig $PKI/admin.kubeconfig get mutatingwebhookconfiguration istio-sidecar-injector -o jsonpath='{.webhooks[0].clientConfig.caBundle}')\" ]"
}

# bare_pod shows that this machine can run a pod at all.
bare_pod() {
  kubectl_ get deployment -n meshbench front >/dev/null 2>&1 && return # it did
  until_ 30 "service account" kubectl_ get serviceaccount default
  kubectl_ delete pod bare --ignore-not-found --grace-period=1 >/dev/null
  kubectl_ run bare --image=meshbench.local/pause:local --image-pull-policy=Never --restart=Never >/dev/null
  kubectl_ wait --for=condition=Ready pod/bare --timeout=120s >/dev/null
  kubectl_ delete pod bare --grace-period=1 --wait=false >/dev/null
}

# mesh deploys the scenario that SCENARIO names. The paper's manifests are in the
# repository; another's are written, and the overlay copied beside them.
mesh() {
  local overlay=$ROOT/cluster/overlays/local deploy=$STATE/deploy
  if [ "$SCENARIO" != paper ]; then
    rm -rf "$deploy" && mkdir -p "$deploy/overlays"
    cp -r "$ROOT/cluster/overlays/." "$deploy/overlays" && overlay=$deploy/overlays/local
    (cd "$ROOT" && $GO run ./cluster/cmd/manifests "$SCENARIO" "$deploy/base")
  fi
  kubectl_ create namespace meshbench --dry-run=client -o yaml | kubectl_ apply -f - >/dev/null 2>&1
  kubectl_ -n meshbench get secret meshbench-control >/dev/null 2>&1 ||
    kubectl_ -n meshbench create secret generic meshbench-control --from-literal=token="$(openssl rand -hex 24)" >/dev/null
  until_ 30 "root certificate of the mesh" kubectl_ -n meshbench get configmap istio-ca-root-cert
  until_ 30 "objects of the mesh" kubectl_ apply -k "$overlay"
  local d
  for d in $(kubectl_ -n meshbench get deployments -o name); do
    kubectl_ -n meshbench rollout status "$d" --timeout=300s >/dev/null
  done
}

"$@"
