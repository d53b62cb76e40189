# Debian's source package of Kubernetes: fetched, unpacked and mended. Sourced after lib.sh, never run.
#
# Who sources this sets $work, a folder for the parts, and $log, a file; the source is then in $work/source.
# shellcheck shell=bash

# How long all steps of a script may take together.
DEADLINE=3600
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
REFLECT2=/usr/share/gocode/src/github.com/modern-go/reflect2

# The command of the step that runs. Who interrupts the script ends it too; timeout passes the signal on to all of it.
pid=
end_step() { [[ -z $pid ]] || kill "$pid" 2>/dev/null || true; }

# attempt TEXT COMMAND...: runs the command with its output in the log, says that it still
# works twice a minute, and fails as the command does.
attempt() {
    local text=$1 began=$SECONDS
    shift
    say "$text"
    # 9>&-: a child left behind must not hold the lock.
    timeout "$((DEADLINE - SECONDS))" "$@" >>"$log" 2>&1 9>&- &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        (((SECONDS - began) % 30)) || say "  still at it: $(tail -n 1 "$log" | cut -c 1-100)"
    done
    local code=0
    wait "$pid" || code=$?
    pid=
    return "$code"
}

# step TEXT COMMAND...: the same, and a failure ends the script.
step() { attempt "$@" || { tail -n 40 "$log" >&2; fail "failed: $1 (whole log: $log)"; }; }

# The Debian suites of this machine, once more as source entries; fails where apt knows none.
list_sources() {
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    # shellcheck disable=SC2016 # apt-get, not the shell, replaces these names
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        sort --unique |
        sed -n "s,^Debian ,deb-src [signed-by=$KEYRING] ,p" >"$work/sources.list"
    [[ -s $work/sources.list ]]
}
# An apt state of our own: the machine's own sources and lists stay as they are.
private_apt() {
    apt-get --quiet -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$work/lists" -o Dir::Cache::archives="$work/archives" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root "$@"
}
fetch() {
    private_apt update && cd "$work" && private_apt source --download-only kubernetes
}
unpack() {
    dpkg-source --no-check -x "$work"/kubernetes_*"$VERSION"*.dsc "$work/source"
}
# The vendored reflect2 1.0.1 crashes the API server (SIGSEGV in mapiternext) when it is
# compiled by Go 1.18 or later; Debian's package is 1.0.2.
replace_reflect2() {
    local vendored="$work/source/vendor/github.com/modern-go/reflect2"
    find "$REFLECT2" -maxdepth 1 -name '*.go' ! -name '*_test.go' -exec cp -t "$vendored" {} +
    rm -f "$vendored"/go_above_17.go "$vendored"/go_below_17.go "$vendored"/go_below_19.go
}
export -f private_apt fetch unpack replace_reflect2
export work VERSION REFLECT2
