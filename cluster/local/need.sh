#!/bin/bash
# need.sh: says what the local control plane lacks on this machine, one line
# each, and fails when there is anything that `up` cannot install itself.
. "$(dirname "$0")/env.sh"
lacks=()
[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] || lacks+=("Linux on x86_64 (this is $(uname -sm))")
[ "$(id -u)" = 0 ] || lacks+=("root: it makes a network namespace, mounts and cgroups")
command -v "$GO" >/dev/null || lacks+=("$GO: Go 1.26 or newer")
command -v "$PYTHON" >/dev/null || lacks+=("$PYTHON: Python 3.10 or newer")
for tool in kubectl openssl nsenter ip; do
  command -v $tool >/dev/null || lacks+=("$tool on the PATH")
done
if [ "$(id -u)" = 0 ]; then
  unshare --net true 2>/dev/null || lacks+=("network namespaces (unshare --net)")
  unshare --mount true 2>/dev/null || lacks+=("mount namespaces (unshare --mount)")
  mount | grep -q ' type cgroup' || lacks+=("mounted cgroups")
  grep -qw overlay /proc/filesystems || lacks+=("overlayfs")
fi
for tool in etcd containerd runc iptables; do
  command -v $tool >/dev/null || command -v apt-get >/dev/null || lacks+=("$tool (and no apt-get to install it)")
done
free=$(df --output=avail -BG "$ROOT" | tail -1 | tr -dc 0-9)
[ -x "$BIN/kubelet" ] || [ "$free" -ge 10 ] || lacks+=("10 GB of free disk for the build ($free GB here)")
[ ${#lacks[@]} -eq 0 ] && exit 0
printf 'cluster: this machine lacks %s\n' "${lacks[@]}" >&2
exit 1
