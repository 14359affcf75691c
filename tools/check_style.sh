#!/bin/bash
# check_style.sh: the house rules that a script can check; prints "file:line: rule: what" and fails if there
# is any. Include direction comes from tools/layers.txt. With a release build at hand it also finds files that
# nothing links. Options: ROOT (default: this tree) as the only argument, for the check's own test.
set -u
tools=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$tools/..}" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
report=$work/report

find lib target_node draft_node coordinator tests tools bench -type f \( -name '*.c' -o -name '*.h' \) \
    -not -path 'tests/fuzz/corpus/*' 2>/dev/null | sort >"$work/sources"
find . -path ./build -prune -o -path ./.git -prune -o -path ./tests/fuzz/corpus -prune -o -type f -print |
    sed 's|^\./||' | sort >"$work/files"
mapfile -t sources <"$work/sources"

LC_ALL=C awk -f "$tools/check_style.awk" tools/layers.txt "${sources[@]}" >"$report" 2>&1

# Every header compiles alone (one gcc, each header its own translation unit).
mkdir "$work/gen"
for proto in proto/*.proto; do
    [ -f "$proto" ] && protoc-c --proto_path=proto --c_out="$work/gen" "$proto" 2>>"$report"
done
mapfile -t headers < <(grep -E '^(lib|target_node|draft_node|coordinator)/.*\.h$' "$work/sources")
if [ ${#headers[@]} -gt 0 ]; then
    printf '%s\n' "${headers[@]}" | xargs -n 12 -P 4 gcc -std=gnu11 -D_GNU_SOURCE -Ilib -I. -I"$work/gen" \
        -Wall -Wextra -Werror -fsyntax-only -x c 2>&1 | grep -E '^[^ ]+:[0-9]+.* (error|fatal error):' |
        sed -E 's/^([^:]+:[0-9]+):[0-9]+: (fatal )?error: /\1: header-alone: /' >>"$report"
fi

# Scripts parse.
while read -r script; do
    bash -n "$script" 2>&1 | sed -E "s|^([^:]+): line ([0-9]+): |\1:\2: script-syntax: |" >>"$report"
done < <(grep -E '\.sh$|^\.ci/run$' "$work/files")
mapfile -t pythons < <(grep -E '\.py$' "$work/files")
if [ ${#pythons[@]} -gt 0 ]; then
    python3 - "${pythons[@]}" >>"$report" <<'PYTHON'
import ast, sys
for path in sys.argv[1:]:
    try:
        ast.parse(open(path, encoding="utf-8").read(), path)
    except SyntaxError as error:
        print(f"{path}:{error.lineno}: script-syntax: {error.msg}")
PYTHON
fi

# Nothing names a developer's machine or a private package host. (Brackets keep the rule from finding itself.)
tr '\n' '\0' <"$work/files" |
    xargs -0 grep -InE '(^|[^A-Za-z0-9_.])/(wor[k]|tmp/[w]|roo[t]|hom[e]/[a-z])/|artifact[-]?regist[r]y|pkg\.d[e]v' \
    2>/dev/null | sed -E 's/^([^:]+:[0-9]+):.*/\1: machine-path: a path or host of one machine/' >>"$report"

# A library object whose symbols no other object and no program uses is dead. layers.txt may list files and
# folders that only tests use ("@test_only PATH").
if [ -f build/release/libspecasr.a ]; then
    nm -A build/release/libspecasr.a 2>/dev/null | sed -E 's/^[^:]+:([^:]+):/\1 /' >"$work/members"
    find build/release -name '*.o' \( -path '*/target_node/*' -o -path '*/draft_node/*' -o -path '*/coordinator/*' -o -path '*/tools/*' \
        -o -path '*/bench/*' \) -exec nm -u {} + 2>/dev/null | awk '$1 == "U" {print "program", $1, $2}' >>"$work/members"
    awk '$2 == "U" {used[$3] = used[$3] " " $1; next}
         NF == 4 && $3 ~ /^[TDBRVWi]$/ {symbol[$4] = $1; member[$1] = 1}
         END {
             for (s in symbol) {
                 n = split(used[s], by, " ")
                 for (i = 1; i <= n; i++) if (by[i] != symbol[s]) live[symbol[s]] = 1
             }
             for (m in member) if (!(m in live)) print m
         }' "$work/members" | sort >"$work/dead"
    sed -n 's/^@test_only *//p' tools/layers.txt | tr ' ' '\n' >"$work/test_only"
    while read -r object; do
        grep -E "^lib/.*/${object%.o}\.c$" "$work/sources" | grep -vFf "$work/test_only" |
            sed 's/$/:1: dead-file: no program or tool links it/' >>"$report"
    done <"$work/dead"
fi

n=$(wc -l <"$report")
sort -t: -k1,1 -k2,2n "$report"
if [ "$n" = 0 ]; then echo "style: ${#sources[@]} C files and ${#headers[@]} headers are clean"; else echo "style: $n violations"; fi
[ "$n" = 0 ]
