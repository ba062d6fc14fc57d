# What the scripts of the local control plane share. Sourced, not run.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
STATE=$ROOT/.cluster              # binaries, images, logs, certificates; may be removed after `down`
BIN=$STATE/bin RUN=$STATE/run LOGS=$STATE/logs IMAGES=$STATE/images PKI=$STATE/run/pki
SOCKETS=/run/meshbench            # containerd's: a socket's path is short
NETNS=meshbench                   # the network namespace of all of it; no route leads out
HOST=172.30.0.1                   # of the control plane, on a bridge in NETNS
PATH=$PATH:/usr/sbin:/sbin         # not on everybody's
GO=${GO:-go} PYTHON=${PYTHON:-python3}
SCENARIO=${SCENARIO:-paper}       # that is deployed: a name, or a file

# Where a cluster runs, a file names the folder that began it: it is left alone
# by the scripts of every other.
owner() { cat "$SOCKETS/owner" 2>/dev/null || echo "$ROOT"; }

inside() { nsenter --net=/run/netns/$NETNS "$@"; }
kubectl_() { inside kubectl --kubeconfig "$PKI/admin.kubeconfig" "$@"; }
ctr_() { ctr --connect-timeout 2s --address "$SOCKETS/containerd.sock" --namespace k8s.io "$@"; }

# begin NAME COMMAND...: a process of the control plane, ended by `down`.
# nsenter and setsid become the command, so that the number is its own.
begin() {
  local name=$1; shift
  nsenter --net=/run/netns/$NETNS setsid "$@" >"$LOGS/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN/$name.pid"
}

running() { [ -f "$RUN/$1.pid" ] && kill -0 "$(cat "$RUN/$1.pid")" 2>/dev/null; }

# until_ SECONDS WHAT COMMAND...: waits until the command succeeds.
until_() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "cluster: $what: not within the time; logs are in ${LOGS#"$ROOT"/}" >&2; exit 1; }
    sleep .2
  done
}
