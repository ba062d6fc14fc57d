#!/bin/bash
# ci.sh [MINUTES]: the cluster's tests from nothing to nothing, within the given
# time (default 55 minutes). A machine that cannot run them, or not in that time,
# is no failure: it says SKIPPED and why. A mesh that does not come up on a
# machine that runs pods is one, and so is a test that fails. What was built
# stays for the next time.
. "$(dirname "$0")/env.sh"
end=$((SECONDS + ${1:-55} * 60))
tests=$((18 * 60)) ending=60 # seconds that starting and testing want at least, and `down`

skip() { echo "SKIPPED: cluster tests: $(tr '\n' ' ' <<<"$1" | sed 's/cluster: //g; s/ *$//')"; exit 0; }
left() { echo $((end - ending - SECONDS)); }
spare=$(($(left) - tests))
[ "$spare" -gt 0 ] || skip "they need $(((tests + ending) / 60)) minutes, and ${1:-55} are left"
[ ! -e /run/netns/$NETNS ] || skip "a cluster is up already, that of $(owner), and left alone"
mkdir -p "$LOGS"
lacks=$("$HERE/need.sh" 2>&1) || skip "$lacks"

# Building takes the time that it may, starting and testing have theirs.
for part in control_plane envoy proxy_image mesh_images; do
  spare=$(($(left) - tests))
  code=0
  timeout --kill-after=10 $((spare > 0 ? spare : 1)) "$HERE/build.sh" $part >"$LOGS/build.log" 2>&1 || code=$?
  [ $code != 124 ] || skip "the control plane is not built in the time there is; what is built is kept"
  if [ $code != 0 ]; then
    tail -20 "$LOGS/build.log" >&2
    case $part in
    control_plane | envoy) skip "$part could not be built: $(tail -1 "$LOGS/build.log")" ;;
    esac
    exit 1
  fi
done

trap '"$HERE/down.sh"' EXIT
trap 'exit 143' INT TERM
code=0
"$HERE/up.sh" 2>"$LOGS/up.err" || code=$?
cat "$LOGS/up.err" >&2
case $code in
0) ;;
3) skip "$(tail -2 "$LOGS/up.err")" ;;
*) exit 1 ;;
esac
make --no-print-directory -C "$ROOT" cluster-test LIMIT="$(left)s"
