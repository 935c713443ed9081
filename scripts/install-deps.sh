#!/bin/sh
# Installs what mounting and the tests need when it is missing: fuse3 to mount; sqlite3, rsync, attr, acl and xfsprogs for the tests.
# Does nothing when all is there, and only tells what is missing when it may not install.
set -eu
[ "$(uname -s)" = Linux ] || exit 0
PATH="$PATH:/sbin:/usr/sbin"
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need fusermount3 fuse3
if [ "${1:-tests}" = tests ]; then
	need sqlite3 sqlite3
	need rsync rsync
	need setfattr attr
	need setfacl acl
	need mkfs.xfs xfsprogs
	need mkfs.ext4 e2fsprogs
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null 2>&1; then sudo="sudo"; else
	echo "missing packages:$missing; install them as root, then run this again" >&2
	exit 1
fi
if command -v apt-get >/dev/null 2>&1; then
	$sudo apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq $missing >/dev/null
elif command -v dnf >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	$sudo dnf install -y -q $missing
else
	echo "missing packages:$missing; install them with your system's package manager, then run this again" >&2
	exit 1
fi
