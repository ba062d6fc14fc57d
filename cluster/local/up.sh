#!/bin/bash
# up.sh: builds what is missing, starts the control plane and the mesh, waits
# until the mesh serves, and prints the time of each stage. Run again, it takes
# what is there. It fails with 3 where this machine cannot do it (something is
# lacking, the control plane does not build or start, a bare pod does not run),
# with 1 where the mesh is at fault. KUBECONFIG is .cluster/run/pki/admin.kubeconfig,
# to be used inside the network namespace: cluster/local/inside.sh COMMAND.
. "$(dirname "$0")/env.sh"
times=""
# machine NAME COMMAND...: a stage whose failure is the machine's.
machine() { failure=3 stage "$@"; }
# stage NAME COMMAND...: a stage whose failure is ours.
stage() {
  local name=$1 begin end; shift
  begin=$(date +%s.%N)
  "$@" || { echo "cluster: $name: failed; logs are in ${LOGS#"$ROOT"/}" >&2; exit "${failure:-1}"; }
  end=$(date +%s.%N)
  times+=$(awk -v n="$name" -v s="$(echo "$end $begin" | awk '{print $1-$2}')" 'BEGIN { printf "{\"stage\": \"%s\", \"seconds\": %.1f}, ", n, s }')
  awk -v n="$name" -v b="$begin" -v e="$end" 'BEGIN { printf "%7.1f s  %s\n", e-b, n }'
}
all=$(date +%s.%N)
B=$HERE/build.sh S=$HERE/start.sh
machine "tools and packages" "$HERE/need.sh"
mkdir -p "$STATE" "$RUN" "$LOGS"
machine "Kubernetes and Istio" "$B" control_plane
machine "Envoy" "$B" envoy
stage "image of the proxy" "$B" proxy_image
stage "images of the mesh" "$B" mesh_images
machine "network" "$S" network
machine "certificates" "$HERE/certs.sh"
machine "containerd" "$S" containerd_
machine "import of images" "$S" images
machine "etcd" "$S" etcd_
machine "API server" "$S" apiserver
machine "controllers" "$S" controllers
machine "kubelet" "$S" kubelet
machine "Istio's objects" "$S" istio_objects
machine "istiod" "$S" istiod
machine "node and webhook" "$S" webhook
machine "a bare pod" "$S" bare_pod
stage "mesh" "$S" mesh
total=$(echo "$(date +%s.%N) $all" | awk '{printf "%.1f", $1-$2}')
# Memory of the control plane and the pods, in MiB: resident, shared pages
# counted once for each process.
memory=$("$HERE/memory.sh")
printf '{"stages": [%s], "seconds": %s, "memory_mib": %s}\n' "${times%, }" "$total" "$memory" >"$STATE/up.json"
printf '%7.1f s  in all; %s MiB of memory\n' "$total" "$memory"
