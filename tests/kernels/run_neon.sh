#!/bin/bash
# run_neon.sh [BUILD]: builds the NEON kernels and the reference for plain Armv8-A into one static
# program and runs the bit-for-bit checks in it under qemu.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-build/release}/neon
cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v $tool >/dev/null || { echo "$0: no $tool: make deps installs it" >&2; exit 2; }
done
flags="-std=gnu11 -D_GNU_SOURCE -Ilib -Wall -Wextra -Werror -O2 -ffp-contract=off"
mkdir -p "$out"
$cc $flags -march=armv8-a -static -o "$out/checks" lib/base/status.c \
    lib/kernels/{dispatch,half,layout,matrix}.c lib/kernels/kernels_{reference,neon}.c \
    tests/support/kernel_checks.c tests/kernels/neon_main.c -lm
qemu-aarch64 "$out/checks" neon | tee "$out/checks.log"
[ "$(grep -c '^ok ' "$out/checks.log")" -ge 9 ]
