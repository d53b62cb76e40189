# Common parts of the scripts in this folder; sourced, never run.
# shellcheck shell=bash

VERSION=1.20.2
CACHE="${KUBERNETES_AGENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubernetes-agent}/kubernetes-$VERSION"
BIN="$CACHE/bin"

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
