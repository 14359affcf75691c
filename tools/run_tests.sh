#!/bin/bash
# run_tests.sh BUILD PROGRAM...: runs test programs and end-to-end scripts (*.sh, with BUILD/bin as their argument),
# TEST_JOBS (1) at a time; prints a line for each, the whole output of those that fail, and a closing line
# "N passed, N failed" over test cases.
#
# The longest begin first, so that at the end nothing runs long with a processor idle. Those that measure time run last,
# one by one: their limits are those of a machine that does nothing else.
set -u
long='engine/test_split engine/test_whisper golden/test_golden backend/test_reference backend/test_conformance
      cluster/test_depth_control cluster/test_load cluster/test_faults coordinator/test_depth cluster/test_fairness
      model/test_tools bus/test_security e2e/failures.sh e2e/sessions.sh e2e/output.sh e2e/bad_audio.sh e2e/live.sh'
alone='backend/test_paced e2e/network.sh'

# Prints passed and failed cases of a log that ended with exit code RC.
count() { # LOG RC PROGRAM
    local ok bad
    case $3 in
    *.sh) ok=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$1" | tail -1); bad=${ok#*, }; bad=${bad%% *}; ok=${ok%% *};;
    */tests/fuzz/fuzz_*)
        ok=$(grep -aoE '^[0-9]+ inputs replayed' "$1" | grep -oE '^[0-9]+'); bad=0;;
    *)  ok=$(grep -aoE 'PASSED  \] [0-9]+' "$1" | tail -1 | grep -oE '[0-9]+$')
        bad=$(grep -aE '^\[  FAILED  \] [a-z_A-Z0-9]+$' "$1" | sort -u | wc -l);;
    esac
    ok=${ok:-0}; bad=${bad:-0}
    if [ "$2" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [ "$ok" = 0 ] && [ "$bad" = 0 ]; then echo "no test executed in $3" >>"$1"; bad=1; fi
    echo "$ok $bad"
}

# One program; its line goes to stdout, its counts to NAME.count beside its log.
run_one() { # BUILD PROGRAM
    local build=$1 program=$2 name=${2#"$1"/} arguments=()
    local log=$build/$name.log limit=(timeout "${TEST_TIMEOUT:-300}")
    case $program in
    */tests/fuzz/fuzz_*) arguments=("tests/fuzz/corpus/$(basename "$program" | sed s/^fuzz_//)");;
    *.sh) arguments=("$build/bin"); limit=(timeout --foreground "${TEST_TIMEOUT:-900}");; # ends its children by itself
    esac
    mkdir -p "${log%/*}"
    start=$(date +%s.%N)
    "${limit[@]}" "$program" "${arguments[@]}" >"$log" 2>&1; rc=$?
    took=$(echo "$(date +%s.%N) $start" | awk '{printf "%.1f", $1 - $2}')
    read -r ok bad < <(count "$log" $rc "$program")
    echo "$ok $bad" >"$build/$name.count"
    if [ "$bad" = 0 ]; then printf 'ok    %5ss %4d  %s\n' "$took" "$ok" "$name"
    else { printf 'FAIL  %5ss       %s (exit %d)\n' "$took" "$name" $rc; tail -n 60 "$log"; } | cat; fi
}

if [ "$1" = --one ]; then run_one "$2" "$3"; exit 0; fi
build=$1; shift
matches() { local known; for known in $1; do case $2 in */"$known") return 0;; esac; done; return 1; } # LIST PROGRAM
first=(); middle=(); last=()
for known in $long; do
    for program in "$@"; do case $program in */"$known") first+=("$program");; esac; done
done
for program in "$@"; do
    rm -f "$build/${program#"$build"/}.count"
    if matches "$alone" "$program"; then last+=("$program")
    elif ! matches "$long" "$program"; then middle+=("$program"); fi
done
at_once() { # JOBS PROGRAM...
    local jobs=$1; shift
    [ $# = 0 ] || printf '%s\0' "$@" | xargs -0 -r -n 1 -P "$jobs" "$0" --one "$build"
}
at_once "${TEST_JOBS:-1}" ${first[@]+"${first[@]}"} ${middle[@]+"${middle[@]}"}
at_once 1 ${last[@]+"${last[@]}"}
passed=0; failed=0
for program in "$@"; do
    read -r ok bad <"$build/${program#"$build"/}.count" || { ok=0; bad=1; }
    passed=$((passed + ok)); failed=$((failed + bad))
done 2>/dev/null
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
