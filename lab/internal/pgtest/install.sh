#!/bin/sh
# Installs a PostgreSQL server for the tests where none is found and it can: on
# Debian and Ubuntu, as root. It never fails; without a server the tests that
# need one are skipped, which this says.
found() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
found && exit 0
why="on Debian and Ubuntu: apt install postgresql"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing PostgreSQL for the tests"
	log=$(mktemp)
	# The tests start servers of their own: no cluster, no service.
	mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] ||
		echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
	install() {
		DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
			-o Dpkg::Options::=--force-confold postgresql >"$log" 2>&1
	}
	install || { apt-get update >/dev/null 2>&1; install; } || tail -n 5 "$log"
	rm -f "$log"
	found && exit 0
	why="installing it failed, see above"
fi
echo "make: SKIPPING the tests with PostgreSQL: no server here; $why" >&2
