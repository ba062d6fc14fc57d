#!/bin/bash
# left.sh: lists what is left of a cluster after `down`, and fails when there is
# anything.
. "$(dirname "$0")/env.sh"
[ "$(owner)" = "$ROOT" ] || exit 0
left=()
while read -r line; do [ -n "$line" ] && left+=("process $line"); done < <(pgrep -af "$BIN/(kube|pilot)|$SOCKETS/containerd|etcd --data-dir $RUN" || true)
while read -r line; do [ -n "$line" ] && left+=("mount $line"); done < <(awk '{print $2}' /proc/mounts | grep -E "^($RUN|$SOCKETS|/run/netns/(cni-|$NETNS))" || true)
ip netns list 2>/dev/null | grep -qE "^($NETNS|cni-)" && left+=("network namespace")
[ ${#left[@]} -eq 0 ] && exit 0
printf 'cluster: left behind: %s\n' "${left[@]}" >&2
exit 1
