# Common parts of the scripts in this folder; sourced, never run.
#
# A cluster is a folder, $dir (option --dir). In it run/NAME.cmd is the command of the
# component NAME, in the form of /proc/PID/cmdline (each argument ends in a zero byte),
# run/NAME.pid its process, run/NAME.log its output, and env what a user needs to know.
# shellcheck shell=bash

VERSION=1.20.2
CACHE="${KUBERNETES_AGENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubernetes-agent}/kubernetes-$VERSION"
# shellcheck disable=SC2034 # used by those who source this
BIN="$CACHE/bin"
# How long a component may take to answer, or to end, on a busy machine.
PATIENCE=120
# How long an orderly end may take. An API server with watches open would need a minute.
GRACE=5

dir="${CLUSTER_DIR:-${TMPDIR:-/tmp}/kubernetes-agent-cluster}"

say() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Prints the leading comment of the script that calls it.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# Reads what `up` wrote about the cluster in $dir.
enter_cluster() {
    [[ -e $dir/env ]] || fail "no cluster in $dir: start one with $(dirname "$0")/up --dir $dir"
    # shellcheck disable=SC1091 # made by up
    . "$dir/env"
    dir=$CLUSTER_DIR
    # What runs a command where the real node lives (see `node`).
    inside=(nsenter --net="$dir/node/namespaces/net" --mount="$dir/node/namespaces/mount")
}

# fail_with_log NAME TEXT: the text and the end of the component's log.
fail_with_log() {
    printf -- '--- the end of %s:\n' "$dir/run/$1.log" >&2
    tail -n 30 "$dir/run/$1.log" >&2 || true
    fail "$2"
}

# define NAME COMMAND...: says how the component is started, now and later.
define() {
    local name=$1
    shift
    printf '%s\0' "$@" >"$dir/run/$name.cmd"
}

components() { find "$dir/run" -name '*.cmd' -printf '%f\n' 2>/dev/null | sed 's/\.cmd$//' | sort; }

# True while the process in NAME.pid lives and is the component, not a stranger who got its
# number later.
running() {
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || return 1
    cmp --silent "$dir/run/$1.cmd" <(cat "/proc/$pid/cmdline" 2>/dev/null)
}

# launch NAME: starts the component in the background, with a TMPDIR of its own.
launch() {
    local name=$1 command enter=()
    [[ -e $dir/run/$name.cmd ]] || fail "no component $name in $dir; there are: $(components | xargs)"
    ! running "$name" || fail "$name runs already"
    rm -rf "$dir/tmp/$name"
    mkdir -p "$dir/tmp/$name"
    mapfile -d '' command <"$dir/run/$name.cmd"
    case $name in containerd | kubelet | kube-proxy) enter=("${inside[@]}") ;; esac
    TMPDIR="$dir/tmp/$name" setsid "${enter[@]}" "${command[@]}" </dev/null >>"$dir/run/$name.log" 2>&1 &
    local pid=$!
    disown
    printf '%d\n' "$pid" >"$dir/run/$name.pid"
    # Until the new process has become the component, running() would not know it.
    until running "$name" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
}

# await NAME: waits until the component answers.
await() {
    local name=$1 deadline=$((SECONDS + PATIENCE))
    until answers "$name"; do
        running "$name" || fail_with_log "$name" "$name ended before it answered"
        ((SECONDS < deadline)) || fail_with_log "$name" "waited ${PATIENCE}s for $name to answer"
        sleep 0.1
    done
}

# end NAME SIGNAL: ends the component, if it runs, and waits until it is gone. What does not
# heed SIGTERM in time is killed.
end() {
    local name=$1 signal=$2 began=$SECONDS
    running "$name" || return 0
    kill -s "$signal" "$(<"$dir/run/$name.pid")"
    while running "$name"; do
        if [[ $signal == TERM ]] && ((SECONDS - began > GRACE)); then
            end "$name" KILL
            return
        fi
        ((SECONDS - began < PATIENCE)) || fail_with_log "$name" "waited ${PATIENCE}s for $name to end after SIG$signal"
        sleep 0.1
    done
}

# answers NAME: true when the component does its work.
answers() {
    case $1 in
        etcd) get "http://127.0.0.1:$ETCD_PORT/health" ;;
        kube-apiserver) api /readyz ;;
        metrics-server) metrics_are_aggregated ;;
        kube-controller-manager) get --insecure "https://127.0.0.1:$CONTROLLER_MANAGER_PORT/healthz" ;;
        kube-scheduler) get --insecure "https://127.0.0.1:$SCHEDULER_PORT/healthz" ;;
        hollow-*) get "http://127.0.0.1:$(kubelet_port "$1")/healthz" && node_ready "$1" ;;
        containerd) "${inside[@]}" ctr --address "$dir/node/containerd.sock" version ;;
        kubelet) get "http://$NODE_ADDRESS:10248/healthz" && node_ready real ;;
        kube-proxy) get "http://$NODE_ADDRESS:10256/healthz" ;;
    esac >/dev/null 2>&1
}

get() { curl --silent --show-error --fail --noproxy '*' --max-time 5 "$@"; }
# api PATH [CURL-OPTION...]: one request to the API server as admin.
api() { get --cacert "$CA_FILE" --header "Authorization: Bearer $TOKEN" "$SERVER$1" "${@:2}"; }

kubelet_port() { tr '\0' '\n' <"$dir/run/$1.cmd" | sed -n 's/^--kubelet-port=//p'; }
node_ready() {
    api "/api/v1/nodes/$1" | python3 -c '
import json, sys
conditions = json.load(sys.stdin)["status"]["conditions"]
sys.exit(not any(it["type"] == "Ready" and it["status"] == "True" for it in conditions))'
}

# True while metrics.k8s.io comes from metrics-server: custom resources can be watched.
metrics_are_aggregated() {
    local found
    found=$(api /apis/metrics.k8s.io/v1beta1) && [[ $found != *'"watch"'* ]]
}

etcd_control() { ETCDCTL_API=3 etcdctl --endpoints="127.0.0.1:$ETCD_PORT" --command-timeout="${PATIENCE}s" "$@"; }
compact_etcd() {
    local revision
    revision=$(etcd_control endpoint status --write-out=json | python3 -c '
import json, sys
print(json.load(sys.stdin)[0]["Status"]["header"]["revision"])')
    # --physical: do not return before the space is free.
    etcd_control compact --physical "$revision"
}
