#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Prints the path of a Go that can build this, or says on the error stream what to do. The version is that of go.mod; a Go
# from 1.21 on fetches a newer one by itself unless it was told not to.
set -eu
cd "$(dirname "$0")/.."

needed=$(sed -n 's/^go \([0-9.]*\)$/\1/p' go.mod)
remedy="Install Go $needed or newer: https://go.dev/dl (Debian and Ubuntu: the archive from there, unpacked to /usr/local)."

# Places where an installation is often found although PATH does not name it.
for go in "$(command -v go 2>/dev/null || true)" /usr/local/go/bin/go "$HOME/go/bin/go" /usr/lib/go/bin/go /opt/homebrew/bin/go; do
    [ -n "$go" ] && [ -x "$go" ] || continue
    # Asked here, go answers with the version it will really use, fetched ones included.
    if version=$("$go" env GOVERSION 2>/dev/null); then
        have=${version#go}
        if [ "$(printf '%s\n%s\n' "$needed" "${have%%[!0-9.]*}" | sort -V | head -n 1)" = "$needed" ]; then
            echo "$go"
            exit 0
        fi
        found="Go $have ($go)"
    else
        found="$("$go" version 2>/dev/null | cut -d' ' -f3 | sed 's/^go/Go /') ($go)"
    fi
done
if [ -n "${found:-}" ]; then
    echo "Syncline needs Go $needed; found $found, and it cannot fetch a newer one by itself. $remedy" >&2
else
    echo "Syncline needs Go $needed, and there is none here. $remedy" >&2
fi
exit 1
