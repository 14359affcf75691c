#!/bin/bash
# check_style_test.sh: seeds one violation of each rule in a small tree of its own and expects the style check to
# name file, line and rule; the tree without violations must pass.
set -u
tools=$(cd "$(dirname "$0")/../../tools" && pwd)
root=$(mktemp -d) || exit 2
trap 'rm -rf "$root"' EXIT
passed=0; failed=0

# A clean tree: two layers, a program, a script.
plant() {
    rm -rf "$root"/*; mkdir -p "$root"/{lib/base,lib/spec,target_node,tools,tests/base}
    printf 'base:\nspec: base\ntarget_node: base spec\n' >"$root/tools/layers.txt"
    printf '#ifndef BASE_A_H\n#define BASE_A_H\n\nint a(void);\n\n#endif\n' >"$root/lib/base/a.h"
    printf '#include "base/a.h"\n\n#include <stdio.h>\n\nint a(void)\n{\n    return 1;\n}\n' >"$root/lib/base/a.c"
    printf '#ifndef SPEC_S_H\n#define SPEC_S_H\n\nint s(void);\n\n#endif\n' >"$root/lib/spec/s.h"
    printf '#include "spec/s.h"\n\n#include "base/a.h"\n\nint s(void)\n{\n    return a();\n}\n' >"$root/lib/spec/s.c"
    printf '#include "spec/s.h"\n\nint main(void)\n{\n    return s();\n}\n' >"$root/target_node/main.c"
    printf '#!/bin/bash\necho hello\n' >"$root/tools/x.sh"
}

result() { # NAME GOOD(0 or 1)
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $1"; sed 's/^/    /' "$root.out"; fi
}

# expect NAME PATTERN: the check fails and a line of its report matches.
expect() {
    "$tools/check_style.sh" "$root" >"$root.out" 2>&1; rc=$?
    if [ $rc = 1 ] && grep -qE "^$2" "$root.out"; then result "$1" 0; else result "$1" 1; fi
    plant
}

lines() { for ((i = 0; i < $1; i++)); do echo "$2"; done; }

plant
"$tools/check_style.sh" "$root" >"$root.out" 2>&1; result "a clean tree passes" $?

echo '#include "spec/s.h"' >>"$root/lib/base/a.c"; expect layers 'lib/base/a\.c:9: layers: base may not include spec/'
mkdir "$root/lib/odd"; echo 'int odd;' >"$root/lib/odd/o.c"; expect unlisted-folder 'lib/odd/o\.c:1: layers: '
sed -i '1s/.*/#include <stdio.h>\n#include "base\/a.h"/' "$root/lib/base/a.c"; expect own-header 'lib/base/a\.c:1: own-header-first'
echo '#include "s.h"' >>"$root/lib/spec/s.c"; expect include-form 'lib/spec/s\.c:9: include-form'
echo '#include <grpc/grpc.h>' >>"$root/lib/spec/s.c"; expect confined-header 'lib/spec/s\.c:9: confinement'
for call in 'grpc_init()' 'gpr_free(p)' 'cblas_sgemm()' 'cJSON_Parse(p)' 'protobuf_c_message_pack(p)' 'sf_open()' 'src_process()'; do
    echo "/* x */ int b = $call;" >>"$root/lib/spec/s.c"; expect "confined-call $call" 'lib/spec/s\.c:9: confinement'
done
for call in strcpy strcat sprintf vsprintf gets atoi atol atof rand srand strtok alloca exit abort; do
    echo "int b = 2 * $call (1);" >>"$root/lib/base/a.c"; expect "banned $call" "lib/base/a\.c:9: banned-call: $call\(\)"
done
printf 'void t(void);\nvoid t(void)\n{\n    exit(1);\n}\n' >"$root/target_node/t.c"; expect exit-in-program 'target_node/t\.c:4: banned-call'
{ echo 'int f(void)'; echo '{'; lines 69 '    ;'; echo '}'; } >>"$root/lib/base/a.c"; expect function-length 'lib/base/a\.c:80: function-length: 71'
lines 793 '/* x */' >>"$root/lib/base/a.c"; expect file-length 'lib/base/a\.c:801: file-length'
lines 245 '/* x */' >>"$root/lib/base/a.h"; expect header-length 'lib/base/a\.h:251: header-length'
printf '/* %098d */\n' 0 >>"$root/lib/base/a.c"; expect columns 'lib/base/a\.c:9: line-length: 104'
printf 'int\tb;\n' >>"$root/lib/base/a.c"; expect tab 'lib/base/a\.c:9: tab'
printf 'int b; \n' >>"$root/lib/base/a.c"; expect blank 'lib/base/a\.c:9: trailing-blank'
printf 'int b;\r\n' >>"$root/lib/base/a.c"; expect carriage-return 'lib/base/a\.c:9: trailing-blank'
sed -i 1,2d "$root/lib/base/a.h"; expect guard 'lib/base/a\.h:[0-9]+: guard'
sed -i '1,2s/SPEC_S_H/BASE_A_H/' "$root/lib/spec/s.h"; expect guard-twice 'lib/spec/s\.h:2: guard: BASE_A_H is also in'
sed -i '4s/.*/size_t a(void);/' "$root/lib/base/a.h"; expect header-alone 'lib/base/a\.h:4: header-alone'
echo 'static int counter;' >>"$root/lib/spec/s.c"; expect mutable-static 'lib/spec/s\.c:9: mutable-static'
sed 's/SPEC_S_H/SPEC_DEAD_H/' "$root/lib/spec/s.h" >"$root/lib/spec/dead.h"; expect dead-header 'lib/spec/dead\.h:1: dead-file'
echo 'if true' >>"$root/tools/x.sh"; expect bash-syntax 'tools/x\.sh:[0-9]+: script-syntax'
echo 'def (' >"$root/tools/x.py"; expect python-syntax 'tools/x\.py:1: script-syntax'
echo "cp /wor""k/shared/x ." >>"$root/tools/x.sh"; expect machine-path 'tools/x\.sh:3: machine-path'
echo "pip --index-url https://a.pkg.d""ev/x" >>"$root/tools/x.sh"; expect registry 'tools/x\.sh:3: machine-path'

# What only looks like a violation.
cat >>"$root/lib/base/a.c" <<'C'
/* strcpy(x, y), rand() and
 * exit(1) in a comment */
const char *text = "sprintf( \" atoi(";
int my_rand(void);
int strcpy_count = 0; // gets(x)
C
printf '/* %s */\n' "$(for ((i = 0; i < 90; i++)); do printf 'ä'; done)" >>"$root/lib/base/a.c"
echo 'static const int table[2] = {1, 2};' >>"$root/lib/spec/s.c"
"$tools/check_style.sh" "$root" >"$root.out" 2>&1; result "comments, strings and longer names are no violations" $?
plant

# Dead objects need a build.
mkdir -p "$root/build/release/target_node"
echo 'int nobody(void) { return 0; }' >"$root/lib/spec/dead.c"
(cd "$root" && for f in lib/base/a.c lib/spec/s.c lib/spec/dead.c target_node/main.c; do
    gcc -Ilib -c "$f" -o "build/release/$(basename "${f%.c}").o" || exit 1; done
 mv build/release/main.o build/release/target_node/ && ar rcs build/release/libspecasr.a build/release/{a,s,dead}.o)
"$tools/check_style.sh" "$root" >"$root.out" 2>&1
if grep -q '^lib/spec/dead.c:1: dead-file' "$root.out" && [ "$(grep -c dead-file "$root.out")" = 1 ]; then result dead-object 0; else result dead-object 1; fi
echo '@test_only lib/spec/dead.c' >>"$root/tools/layers.txt"
"$tools/check_style.sh" "$root" >"$root.out" 2>&1; result "a file that only tests use may be listed" $?

rm -f "$root.out"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
