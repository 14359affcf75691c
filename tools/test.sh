#!/bin/bash
# test.sh [STAGE...]: everything that proves specasr, as `make test` runs it; or only the named stages. Shows the time
# of each stage and closes with "N passed, N failed" over all of them. Stages go on after a failure, so that one
# run tells all, except that nothing runs without a build.
#
#   deps        Debian packages and pinned Python packages     units       unit tests and fuzz corpora, release build
#   build       release build, test programs too               sanitizers  the fast areas with asan+ubsan, threads with tsan
#   style       house rules; the check's own test              neon        NEON kernels under qemu
#   models      fetch, verify, convert                         golden      tests/golden/*.sh: tokens against references
#   deploy      deploy/check.sh, where its tools are           e2e         tests/e2e/*.sh: the programs as users run them
set -u
cd "$(dirname "$0")/.." || exit 2
bin=build/release/bin
jobs=$(nproc)
stages=${*:-deps build style deploy models units sanitizers neon golden e2e}
# Areas whose tests are quick under sanitizers; those that run whole models are not.
fast='base config output audio model text rules spec kv wire kernels coordinator target_node metrics http auth bus store'
threaded='base rpc engine coordinator metrics http auth bus'
# Programs that start built tools, run whole models or simulate for minutes: in the units stage only.
whole='tests/(store/test_(etcd|store)|model/test_tools|engine/test_whisper|coordinator/test_depth)'
passed=0; failed=0; table=
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Sums the closing line of each part; a part that failed without one, or says nothing, counts as one.
count() { # NAME RC
    local sum
    sum=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -1)
    local ok=${sum%% *} bad=0
    [ -n "$sum" ] && bad=$(echo "$sum" | awk '{print $3}') || ok=$((1 - ($2 != 0)))
    if [ "$2" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    passed=$((passed + ok)); failed=$((failed + bad))
    [ "$bad" = 0 ] || echo "test.sh: FAILED: $1"
}

part() { # NAME COMMAND...
    local name=$1; shift
    "$@" 2>&1 | tee "$log"
    local rc=${PIPESTATUS[0]}
    count "$name" "$rc"
    return "$rc"
}

tests_of() { # AREAS: their test programs, without the folder of the build
    for area in $1; do find "tests/$area" -name 'test_*.c' 2>/dev/null; done | sort | sed 's/\.c$//' |
        grep -vxE "$whole"
}

sanitized() { # MODE AREAS
    local mode=$1 fuzz=
    [ "$mode" = asan ] && fuzz=$(find tests/fuzz -name 'fuzz_*.c' | sort | sed 's/\.c$//')
    mapfile -t programs < <({ tests_of "$2"; echo "$fuzz"; } | grep . | sed "s|^|build/$mode/|")
    make -s -j"$jobs" MODE="$mode" "${programs[@]}" || return 1
    export TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
    TEST_JOBS=$jobs tools/run_tests.sh "build/$mode" "${programs[@]}"
}

deployment() {
    local tool
    for tool in promtool systemd-analyze; do
        command -v "$tool" >/dev/null && continue
        echo "skipped: deploy/check.sh needs $tool (tools/deps.sh deploy installs it)"
        return 0
    done
    part deploy deploy/check.sh "$bin"
}

scripts() { # FOLDER: every executable script, the folder of the programs as its argument
    local script all=()
    for script in "$1"/*.sh; do [ ! -x "$script" ] || all+=("$script"); done
    [ ${#all[@]} -gt 0 ] || { echo "test.sh: no script in $1"; failed=$((failed + 1)); return; }
    TEST_JOBS=$jobs part "$1" tools/run_tests.sh build/release "${all[@]}"
}

stage() {
    case $1 in
    deps) part deps tools/deps.sh build test && part python tools/python_deps.sh;;
    build) part build make -s -j"$jobs" build test-programs || return 1;;
    style) part style tools/check_style.sh; scripts tests/tools;;
    deploy) deployment;;
    models) part models make -s models;;
    units) TEST_JOBS=$jobs part units make -s -j"$jobs" unit;;
    sanitizers) part asan sanitized asan "$fast"; part tsan sanitized tsan "$threaded";;
    neon) part neon tests/kernels/run_neon.sh;;
    golden | e2e) scripts "tests/$1";;
    *) echo "test.sh: no stage $1" >&2; exit 2;;
    esac
    return 0
}

begin=$SECONDS
for name in $stages; do
    echo "== $name"
    start=$SECONDS; before=$failed
    stage "$name"; rc=$?
    table+=$(printf '%-11s %4d s  %s' "$name" $((SECONDS - start)) "$([ "$before" = "$failed" ] && echo ok || echo FAILED)")$'\n'
    [ $rc = 0 ] || { echo "test.sh: nothing can run without the build"; break; }
done
printf '== times\n%s%-11s %4d s\n' "$table" all $((SECONDS - begin))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
