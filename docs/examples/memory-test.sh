#!/bin/sh
# A memory test for a pipeline: fails if PROGRAM keeps more memory for each call of a function than it may.
#
#     memory-test.sh FUNCTION LIMIT PROGRAM [ARGUMENT…]
#
# Run it as root, or under sudo: then PROGRAM still runs as the user. It needs memtrace in PATH, or in $MEMTRACE.
# It leaves the report, the JUnit file and, without $GITHUB_STEP_SUMMARY, the summary in the folder $RESULTS
# (memory-results). Where there are such files in the working directory, it takes
#     memory-baseline.json     as growth that is allowed: the memtrace.json of an earlier run
#     memory-suppressions.txt  as stacks that are known: lines of leak:PATTERN
set -eu

if [ $# -lt 3 ]; then
    echo "usage: $0 FUNCTION LIMIT PROGRAM [ARGUMENT...]" >&2
    exit 2
fi
function=$1 limit=$2
shift 2

results=${RESULTS:-memory-results}
mkdir -p "$results"

# Put in front of the program and its arguments, the last ones first.
set -- --summary-file "${GITHUB_STEP_SUMMARY:-$results/summary.md}" -- "$@"
set -- --junit "$results/memtrace.xml" "$@"
set -- --format json --output "$results/memtrace.json" --force "$@"
if [ -f memory-suppressions.txt ]; then
    set -- --suppressions memory-suppressions.txt "$@"
fi
if [ -f memory-baseline.json ]; then
    set -- --baseline memory-baseline.json "$@"
fi
# Caches fill and buffers grow in the first few calls; incomplete data would prove nothing.
set -- --warmup 3 --strict --fail-on-growth "$limit" "$@"

status=0
"${MEMTRACE:-memtrace}" exec --mark-fn "$function" "$@" || status=$?
case $status in
    0) echo "memory test: passed" ;;
    3) echo "memory test: FAILED, it grows by more than $limit for each $function" ;;
    *) echo "memory test: FAILED with status $status" ;;
esac
exit "$status"
