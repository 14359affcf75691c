/* neon_main.c: the kernel checks as a plain program for another processor (see run_neon.sh). */
#include <stdio.h>
#include <string.h>

#include "../support/kernel_checks.h"

int main(int argc, char **argv)
{
    const struct kernels *set = kernels_find(argc > 1 ? argv[1] : NULL);
    if (!set) {
        fprintf(stderr, "no such kernel set\n");
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < n_kernel_checks; i++) {
        int failures = kernel_checks[i].run(set);
        printf("%-5s %s: %s\n", failures ? "FAIL" : "ok", set->name, kernel_checks[i].name);
        failed += failures != 0;
    }
    return failed != 0;
}
