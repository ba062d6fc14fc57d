#!/bin/bash
# up.sh: builds what is missing, starts the control plane and the mesh, waits
# until the mesh serves, and prints the time of each stage. Run again, it takes
# what is there. KUBECONFIG is .cluster/run/pki/admin.kubeconfig, to be used
# inside the network namespace: cluster/local/inside.sh COMMAND.
. "$(dirname "$0")/env.sh"
"$HERE/need.sh"
mkdir -p "$STATE" "$RUN" "$LOGS"
times=""
stage() {
  local name=$1 begin end; shift
  begin=$(date +%s.%N)
  "$@" || { echo "cluster: $name failed; logs are in ${LOGS#"$ROOT"/}" >&2; exit 1; }
  end=$(date +%s.%N)
  times+=$(awk -v n="$name" -v s="$(echo "$end $begin" | awk '{print $1-$2}')" 'BEGIN { printf "{\"stage\": \"%s\", \"seconds\": %.1f}, ", n, s }')
  awk -v n="$name" -v b="$begin" -v e="$end" 'BEGIN { printf "%7.1f s  %s\n", e-b, n }'
}
all=$(date +%s.%N)
B=$HERE/build.sh S=$HERE/start.sh
stage "packages" "$B" packages
stage "Kubernetes and Istio" "$B" control_plane
stage "Envoy" "$B" envoy
stage "image of the proxy" "$B" proxy_image
stage "images of the mesh" "$B" mesh_images
stage "network" "$S" network
stage "certificates" "$HERE/certs.sh"
stage "containerd" "$S" containerd_
stage "import of images" "$S" images
stage "etcd" "$S" etcd_
stage "API server" "$S" apiserver
stage "controllers" "$S" controllers
stage "kubelet" "$S" kubelet
stage "Istio's objects" "$S" istio_objects
stage "istiod" "$S" istiod
stage "node and webhook" "$S" webhook
stage "mesh" "$S" mesh
total=$(echo "$(date +%s.%N) $all" | awk '{printf "%.1f", $1-$2}')
# Memory of the control plane and the pods, in MiB: resident, shared pages
# counted once for each process.
memory=$("$HERE/memory.sh")
printf '{"stages": [%s], "seconds": %s, "memory_mib": %s}\n' "${times%, }" "$total" "$memory" >"$STATE/up.json"
printf '%7.1f s  in all; %s MiB of memory\n' "$total" "$memory"
