#!/bin/bash
# need.sh: lists the tools that the scripts call and this machine lacks, and
# fails. Asked to by INSTALL=1 it first installs them, as root where there is apt-get.
. "$(dirname "$0")/env.sh"

# Each tool and the Debian package that has it.
tools="awk:mawk grep:grep sed:sed find:findutils xargs:findutils timeout:coreutils mount:mount umount:mount nsenter:util-linux
unshare:util-linux setsid:util-linux pgrep:procps ps:procps ldd:libc-bin dpkg:dpkg ip:iproute2 openssl:openssl curl:curl etcd:etcd-server
containerd:containerd ctr:containerd runc:runc iptables:iptables /usr/lib/cni/bridge:containernetworking-plugins"

missing() { for t in $tools; do command -v "${t%:*}" >/dev/null || echo "$t"; done; }
virtualenv() { "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null; }

packages=$(missing | cut -d: -f2 | sort -u)
command -v "$PYTHON" >/dev/null && ! virtualenv && packages+=" python3-venv"
said=""
if [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "${INSTALL:-}" != 1 ]; then
  said=", which INSTALL=1 installs with apt-get"
elif [ -n "$packages" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  mkdir -p "$LOGS"
  { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install --yes --no-install-recommends $packages; } \
    >"$LOGS/apt.log" 2>&1 </dev/null || said=", which apt-get did not install: $(tail -1 "$LOGS/apt.log")"
fi

lacks=()
[ "$(owner)" = "$ROOT" ] || lacks+=("room for a second cluster: that of $(owner) is up")
[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] || lacks+=("Linux on x86_64 (this is $(uname -sm))")
[ "$(id -u)" = 0 ] || lacks+=("root: it makes a network namespace, mounts and cgroups")
command -v "$GO" >/dev/null || lacks+=("$GO: Go 1.26 or newer")
command -v kubectl >/dev/null || lacks+=("kubectl 1.27 or newer")
if ! command -v "$PYTHON" >/dev/null; then lacks+=("$PYTHON: Python 3.10 or newer"); elif ! virtualenv; then lacks+=("$PYTHON's venv module"); fi
for t in $(missing); do lacks+=("${t%:*} (package ${t#*:}$said)"); done
if [ "$(id -u)" = 0 ]; then
  unshare --net true 2>/dev/null || lacks+=("network namespaces (unshare --net)")
  unshare --mount true 2>/dev/null || lacks+=("mount namespaces (unshare --mount)")
  grep -q ' cgroup2\? ' /proc/mounts || lacks+=("mounted cgroups")
  grep -qw overlay /proc/filesystems || lacks+=("overlayfs")
fi
free=$(df --output=avail -BG "$ROOT" | tail -1 | tr -dc 0-9)
[ -x "$BIN/kubelet" ] || [ "$free" -ge 10 ] || lacks+=("10 GB of free disk for the build ($free GB here)")
[ ${#lacks[@]} -eq 0 ] && exit 0
printf 'cluster: this machine lacks %s\n' "${lacks[@]}" >&2
exit 1
