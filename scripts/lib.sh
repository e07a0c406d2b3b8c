# shellcheck shell=sh
# Shared by the set-up scripts: one line a stage with its elapsed time, the noise in a log.
# Read by scripts/setup and scripts/engine from the repository's root.

cache=.cache
mkdir -p "$cache"

# say LINE...: a message, on standard error like everything that is not data.
say() {
    printf '%s\n' "$@" >&2
}

# stage TITLE LOG COMMAND...: run COMMAND, its output in LOG; on failure show the log's end and return 1.
stage() {
    stage_title=$1 stage_log=$2
    shift 2
    stage_start=$(date +%s)
    printf '%s ... ' "$stage_title" >&2
    if "$@" >"$stage_log" 2>&1 </dev/null; then
        printf '%d s\n' $(($(date +%s) - stage_start)) >&2
    else
        printf 'failed after %d s\n' $(($(date +%s) - stage_start)) >&2
        tail -n 15 "$stage_log" | sed 's/^/  | /' >&2
        say "  the whole log: $stage_log"
        return 1
    fi
}

# one_at_a_time NAME: wait while another process is in the part NAME.
one_at_a_time() {
    command -v flock >/dev/null || return 0
    exec 9>"$cache/$1.lock"
    flock -n 9 && return 0
    say "another $1 is running here; waiting for it"
    flock 9
}
