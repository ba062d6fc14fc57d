#!/bin/bash
# down.sh: ends what `up` began, by process number, and takes away mounts,
# cgroups and network namespaces. Binaries and images stay.
. "$(dirname "$0")/env.sh"
[ "$(owner)" = "$ROOT" ] || { echo "cluster: the one that runs is that of $(owner), and left alone" >&2; exit 0; }
set +e
apiserver=$(cat "$RUN/apiserver.pid" 2>/dev/null)
for name in kubelet istiod scheduler controller-manager apiserver etcd; do
  running $name && kill "$(cat "$RUN/$name.pid")"
done
# The API server may take minutes to end by itself.
[ -n "$apiserver" ] && sleep 1 && kill -9 "$apiserver" 2>/dev/null
if running containerd; then
  for t in $(ctr_ task ls -q); do ctr_ task kill -s 9 "$t"; done >/dev/null 2>&1
  sleep 1
  for t in $(ctr_ task ls -q); do ctr_ task rm -f "$t"; done >/dev/null 2>&1
  for c in $(ctr_ container ls -q); do ctr_ container rm "$c"; done >/dev/null 2>&1
  kill "$(cat "$RUN/containerd.pid")"
fi
for name in kubelet istiod scheduler controller-manager etcd containerd; do
  for _ in $(seq 50); do running $name || break; sleep .1; done
  running $name && kill -9 "$(cat "$RUN/$name.pid")"
done
# Shims are children of no one; ours name our socket as a word of their own.
for p in $(pgrep containerd-shim); do
  tr '\0' '\n' <"/proc/$p/cmdline" | grep -qxF "$SOCKETS/containerd.sock" && kill -9 "$p"
done 2>/dev/null
for n in $(seq 3); do
  mounts=$(awk '{print $2}' /proc/mounts | grep -E "^($RUN|$SOCKETS|/run/netns/cni-)" | sort -r)
  [ -z "$mounts" ] && break
  echo "$mounts" | xargs -r -n1 umount -l 2>/dev/null
done
ip netns list 2>/dev/null | awk '/^cni-/ {print $1}' | xargs -r -n1 ip netns del 2>/dev/null
ip netns del $NETNS 2>/dev/null
for h in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/*/k8s.io /sys/fs/cgroup/kubepods; do
  [ -d "$h" ] && find "$h" -depth -type d -exec rmdir {} + 2>/dev/null
done
rm -rf "$SOCKETS" "$RUN" /var/lib/cni/networks/meshbench /var/lib/cni/results
"$HERE/left.sh"
