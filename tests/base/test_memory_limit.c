/* What control groups allow, of both versions, and what is in use. */
#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory_limit.h"

/* A file below the folder, with the folders that lead to it. */
static void put(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    support_write(path, text);
}

static void the_least_of_the_groups_above_counts(void **state)
{
    char *root = support_temp_new();
    (void)state;
    assert_true(memory_limit_of_groups(root) == UINT64_MAX);
    put(root, "proc/self/cgroup", "0::/a.slice/b.service\n");
    assert_true(memory_limit_of_groups(root) == UINT64_MAX);
    put(root, "sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
    assert_true(memory_limit_of_groups(root) == UINT64_MAX);
    put(root, "sys/fs/cgroup/a.slice/memory.max", "4000000\n");
    assert_int_equal(memory_limit_of_groups(root), 4000000);
    put(root, "sys/fs/cgroup/a.slice/b.service/memory.max", "3000000\n");
    assert_int_equal(memory_limit_of_groups(root), 3000000);
    put(root, "sys/fs/cgroup/memory.max", "2000000\n");
    assert_int_equal(memory_limit_of_groups(root), 2000000);
    support_temp_free(root);
}

static void the_first_version_and_a_container(void **state)
{
    char *root = support_temp_new();
    (void)state;
    put(root, "proc/self/cgroup", "9:cpu:/x\n7:blkio,memory:/docker/1234\nnonsense\n");
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "5000000\n");  /* its own root */
    assert_int_equal(memory_limit_of_groups(root), 5000000);
    put(root, "proc/self/cgroup", "0::/\n");
    put(root, "sys/fs/cgroup/memory.max", "6000000\n");
    assert_int_equal(memory_limit_of_groups(root), 6000000);
    support_temp_free(root);
}

static void what_is_used_rises_with_what_is_touched(void **state)
{
    enum { BYTES = 32 << 20 };
    (void)state;
    uint64_t before = memory_used();
    assert_true(before > 0 && before < memory_limit());
    char *block = malloc(BYTES);
    assert_non_null(block);
    memset(block, 1, BYTES);
    assert_true(memory_used() >= before + BYTES / 2);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_the_groups_above_counts),
        cmocka_unit_test(the_first_version_and_a_container),
        cmocka_unit_test(what_is_used_rises_with_what_is_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
