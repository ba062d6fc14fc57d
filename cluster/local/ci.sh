#!/bin/bash
# ci.sh: the cluster's tests from nothing to nothing. A machine that cannot run
# them, or cannot build what they need in time, is no failure: it says so. What
# was built stays for the next time.
. "$(dirname "$0")/env.sh"
skip() { echo "SKIPPED: cluster tests: $1"; exit 0; }
lacks=$("$HERE/need.sh" 2>&1) || skip "$lacks"
[ -e /run/netns/$NETNS ] && skip "a cluster is up already, and left alone"
mkdir -p "$LOGS"
limit=${BUILD_LIMIT:-35m}
timeout "$limit" bash -c 'for p in packages control_plane envoy proxy_image mesh_images; do "$0" $p || exit 1; done' "$HERE/build.sh" || {
  [ $? = 124 ] && skip "not built within $limit"
  skip "the control plane could not be built; see above"
}
trap '"$HERE/down.sh"' EXIT
"$HERE/up.sh"
make --no-print-directory -C "$ROOT" cluster-test
