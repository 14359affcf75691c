#include "../support/support.h"

#include <sys/resource.h>

#include "base/file_limit.h"

static void the_limit_becomes_the_highest_allowed(void **state)
{
    (void)state;
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max / 2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(file_limit_raise(), files.rlim_max);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(files.rlim_cur, files.rlim_max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_becomes_the_highest_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
