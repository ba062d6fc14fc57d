#!/bin/bash
# memory.sh: resident memory of all processes in the cluster's network namespace
# and in its pods, in MiB (proportional share of shared pages).
. "$(dirname "$0")/env.sh"
pids=$(ip netns pids $NETNS 2>/dev/null || true)
for n in $(ip netns list | awk '/^cni-/ {print $1}'); do pids+=" $(ip netns pids "$n" 2>/dev/null || true)"; done
total=0
for p in $pids; do
  kb=$(awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup" 2>/dev/null || true)
  total=$((total + ${kb:-0}))
done
echo $((total / 1024))
