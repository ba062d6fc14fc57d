#!/bin/sh
# server.sh: says where the tests find no PostgreSQL server, which they then skip.
# server.sh install: installs one, on Debian and Ubuntu as root.
found() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
found && exit 0
if [ "$1" != install ]; then
	echo "make: SKIPPING the tests with PostgreSQL: no server here; make postgres installs one on Debian and Ubuntu" >&2
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "make: needs root and apt-get; elsewhere install PostgreSQL by the system's own means" >&2
	exit 1
fi
echo "installing PostgreSQL for the tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The tests start servers of their own: no cluster, no service.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
	echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		-o Dpkg::Options::=--force-confold postgresql >"$log" 2>&1
}
install || { apt-get update >/dev/null 2>&1; install; } || tail -n 5 "$log" >&2
found
