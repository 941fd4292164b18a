#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes sure that what the tests run besides Go is here: a C compiler for the race detector and Chromium for the browser
# tests. The database servers see to themselves (internal/localdb). Installs on Debian and Ubuntu as root or where sudo asks
# no question; elsewhere it says what to install.
set -eu
cd "$(dirname "$0")/.."

missing=
if ! { command -v "${CC:-gcc}" && printf '#include <stdlib.h>\nint main(void){return 0;}\n' | "${CC:-gcc}" -x c -o /dev/null -; } >/dev/null 2>&1; then
    missing="gcc libc6-dev"
fi
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null 2>&1; then
    # Where the package has another name, apt-cache knows: Ubuntu calls it chromium-browser.
    missing="$missing chromium"
fi
if ! [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && ! command -v rabbitmq-server >/dev/null 2>&1; then
    missing="$missing rabbitmq-server"
fi
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
fi
if [ -e /etc/debian_version ] && command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
    echo "Installing for the tests (once): $missing"
    # shellcheck disable=SC2086 # a list on purpose
    $as_root sh internal/localdb/install.sh $missing
else
    echo "make test needs, besides Go: $missing" >&2
    echo "On Debian or Ubuntu: sudo apt-get install $missing. Chromium may also be named by CHROMIUM=/path/to/it." >&2
    exit 1
fi
