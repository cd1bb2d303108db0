# SPDX-License-Identifier: Apache-2.0
#
# Read by the other scripts: where things are, and how they talk. Leaves the caller at the repository's root.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV="$ROOT/.venv"
PYTHON="$VENV/bin/python"
TANSU="$VENV/bin/tansu"
cd "$ROOT" || exit 3

# The repository's librdkafka for programs that are run here: Debian's 2.0 cannot read the answers of the broker that
# tests and demo use (librdkafka before 2.2 skips tagged fields wrongly); the one in the Python wheel can.
RDKAFKA="$VENV/rdk"

# What is being done, for people.
say() { printf '\n==> %s\n' "$*" >&2; }

# What was left out, and why.
skip() { printf '    skipped: %s\n' "$*" >&2; }

# Ends the script: the environment is not right.
die() {
    printf '\nerror: %s\n' "$*" >&2
    exit 3
}

# Whether a program is there.
has() { command -v "$1" >/dev/null 2>&1; }

# Ends the script unless Swift 6.3 or later is there.
require_swift() {
    has swift || die "there is no swift in PATH; install Swift 6.3 from https://www.swift.org/install/linux/"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
    case "$version" in
        6.[3-9] | 6.[1-9][0-9] | [7-9].* | [1-9][0-9].*) ;;
        *) die "Swift 6.3 or later is needed; \`swift --version\` says \"$version\"" ;;
    esac
}

# What the benchmarks' peers need, beside the packages of scripts/setup.
# shellcheck disable=SC2034  # read by those who source this file
BENCH_PACKAGES="gcc make wrk"
