#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs packages on Debian or Ubuntu for `syncline dev` and for `make test`, without leaving a running service or a
# database cluster behind: we start servers of our own. "mariadb" stands for the MariaDB server under whatever name this
# release gives it. Runs as root, asks nothing.
#
#   sh install.sh postgresql mariadb chromium
set -eu
export DEBIAN_FRONTEND=noninteractive

apt() { apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" </dev/null; }

# Init scripts ask this file whether they may start a service. It says no for as long as we run, and only then, so that
# it does no harm should we be killed before we can remove it.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
undo() {
    [ -z "${our_policy:-}" ] || rm -f "$policy"
    [ ! -e "$cluster.before-syncline" ] || mv -f "$cluster.before-syncline" "$cluster"
}
trap undo EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
    our_policy=yes
    printf '#!/bin/sh\n[ -d /proc/%s ] && exit 101\nexit 0\n' $$ >"$policy"
    chmod 755 "$policy"
fi

# A mirror that does not answer is no reason to stop: the lists of last time may do.
apt update || echo "apt-get update failed; trying with the package lists at hand" >&2

packages=
for wanted in "$@"; do
    case $wanted in
    mariadb)
        # The core packages hold the programs without the service. Some releases put the version into their name.
        for part in mariadb-server-core mariadb-client-core; do
            packages="$packages $(apt-cache pkgnames $part | sort -V | tail -n 1)"
        done ;;
    postgresql)
        # The cluster "main" is made while the server's package is configured, unless this says otherwise by then.
        apt install --no-install-recommends postgresql-common
        if [ -e "$cluster" ]; then
            cp -p "$cluster" "$cluster.before-syncline"
            echo "create_main_cluster = false" >>"$cluster"
        fi
        packages="$packages postgresql" ;;
    *) packages="$packages $wanted" ;;
    esac
done
# shellcheck disable=SC2086 # a list on purpose
apt install --no-install-recommends $packages
# A broker is for tests: the package's own service stays off after the next start of the machine, too.
case " $* " in *" rabbitmq-server "*) command -v systemctl >/dev/null && systemctl disable rabbitmq-server.service >/dev/null 2>&1 || true ;; esac
