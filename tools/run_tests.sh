#!/bin/bash
# run_tests.sh BUILD PROGRAM...: runs test programs one after another; prints a line per program, the whole
# output of those that fail, and a closing line "N passed, N failed" over test cases.
set -u
build=$1; shift
passed=0; failed=0
for program in "$@"; do
    log=$program.log
    args=()
    case $program in */tests/fuzz/fuzz_*) args=("tests/fuzz/corpus/$(basename "$program" | sed s/^fuzz_//)");; esac
    start=$(date +%s.%N)
    timeout "${TEST_TIMEOUT:-300}" "$program" "${args[@]}" >"$log" 2>&1; rc=$?
    took=$(echo "$(date +%s.%N) $start" | awk '{printf "%.1f", $1 - $2}')
    ok=$(grep -aoE 'PASSED  \] [0-9]+' "$log" | tail -1 | grep -oE '[0-9]+$'); ok=${ok:-0}
    bad=$(grep -aE '^\[  FAILED  \] [a-z_A-Z0-9]+$' "$log" | sort -u | wc -l)
    if [ "${#args[@]}" -gt 0 ] && [ $rc = 0 ]; then ok=$(grep -aoE '^[0-9]+ inputs replayed' "$log" | grep -oE '^[0-9]+'); ok=${ok:-0}; fi
    if [ $rc != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ $rc = 0 ] && [ "$ok" = 0 ]; then echo "no test executed in $program"; rc=1; bad=1; fi
    passed=$((passed + ok)); failed=$((failed + bad))
    if [ $rc = 0 ]; then printf 'ok    %5ss %4d  %s\n' "$took" "$ok" "${program#"$build"/}"
    else printf 'FAIL  %5ss       %s (exit %d)\n' "$took" "${program#"$build"/}" $rc; tail -n 60 "$log"; fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
