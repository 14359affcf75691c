#!/bin/bash
# run_tests.sh BUILD PROGRAM...: runs test programs, TEST_JOBS (1) at a time; prints a line per program, the whole
# output of those that fail, and a closing line "N passed, N failed" over test cases.
set -u

# One program; its line goes to stdout, its counts to PROGRAM.count.
run_one() {
    build=$1; program=$2; log=$program.log
    args=()
    case $program in */tests/fuzz/fuzz_*) args=("tests/fuzz/corpus/$(basename "$program" | sed s/^fuzz_//)");; esac
    start=$(date +%s.%N)
    timeout "${TEST_TIMEOUT:-300}" "$program" "${args[@]}" >"$log" 2>&1; rc=$?
    took=$(echo "$(date +%s.%N) $start" | awk '{printf "%.1f", $1 - $2}')
    ok=$(grep -aoE 'PASSED  \] [0-9]+' "$log" | tail -1 | grep -oE '[0-9]+$'); ok=${ok:-0}
    bad=$(grep -aE '^\[  FAILED  \] [a-z_A-Z0-9]+$' "$log" | sort -u | wc -l)
    if [ "${#args[@]}" -gt 0 ] && [ $rc = 0 ]; then
        ok=$(grep -aoE '^[0-9]+ inputs replayed' "$log" | grep -oE '^[0-9]+'); ok=${ok:-0}
    fi
    if [ $rc != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ $rc = 0 ] && [ "$ok" = 0 ]; then echo "no test executed in $program" >>"$log"; rc=1; bad=1; fi
    echo "$ok $bad" >"$program.count"
    if [ $rc = 0 ]; then printf 'ok    %5ss %4d  %s\n' "$took" "$ok" "${program#"$build"/}"
    else { printf 'FAIL  %5ss       %s (exit %d)\n' "$took" "${program#"$build"/}" $rc; tail -n 60 "$log"; } | cat; fi
}

if [ "$1" = --one ]; then run_one "$2" "$3"; exit 0; fi
build=$1; shift
for program in "$@"; do rm -f "$program.count"; done
printf '%s\0' "$@" | xargs -0 -r -n 1 -P "${TEST_JOBS:-1}" "$0" --one "$build"
passed=0; failed=0
for program in "$@"; do
    read -r ok bad <"$program.count" || { ok=0; bad=1; }
    passed=$((passed + ok)); failed=$((failed + bad))
done 2>/dev/null
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
