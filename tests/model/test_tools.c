/* The programs around models as a user runs them: convert, and fetch_models.py through its own
 * check. */
#include "../support/model_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *tool(const char *name)
{
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(n > 0);
    self[n] = '\0';
    *strstr(self, "/tests/model/") = '\0';
    const char *path = support_format("%s/bin/%s", self, name);
    if (access(path, X_OK) != 0)
        fail_msg("%s is not built: make build", path);
    return path;
}

/* Runs a shell command; output (stdout and stderr) goes to *text. Returns the exit status. */
static int run(char text[4096], const char *command)
{
    FILE *pipe = popen(support_format("(%s) 2>&1 </dev/null", command), "r");
    assert_non_null(pipe);
    size_t n = fread(text, 1, 4095, pipe);
    text[n] = '\0';
    char rest[256];
    while (fread(rest, 1, sizeof(rest), pipe) > 0)
        continue;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void convert_teaches_and_refuses(void **state)
{
    (void)state;
    char text[4096];
    const char *convert = tool("convert");
    assert_int_equal(run(text, support_format("%s --help", convert)), 0);
    assert_non_null(strstr(text, "Examples"));
    assert_int_equal(run(text, convert), 2);
    assert_int_equal(run(text, support_format("%s a b --type q5_0", convert)), 2);
    assert_non_null(strstr(text, "q8_0"));
    assert_int_equal(run(text, support_format("%s /no/such x.gguf", convert)), 1);
    assert_int_equal(strncmp(text, "convert: error: /no/such", 24), 0);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
}

static void check_tells_sound_from_damaged(void **state)
{
    (void)state;
    char text[4096];
    char *folder = support_temp_new();
    const char *path = strdup(fixture_write(folder, "m.gguf", TENSOR_F16));
    const char *command = strdup(support_format("%s --check %s", tool("convert"), path));
    size_t n;
    assert_int_equal(run(text, command), 0);
    uint8_t *bytes = fixture_read_file(path, &n);
    bytes[n - 100] ^= 4;
    fixture_write_file(path, bytes, n);
    assert_int_equal(run(text, command), 1);
    assert_non_null(strstr(text, "damaged"));
    free(bytes);
    free((void *)path);
    free((void *)command);
    support_temp_free(folder);
}

static int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A limit on file size stands for a full disk: half of the file can be written. */
static void a_full_disk_leaves_nothing_half(void **state)
{
    (void)state;
    char text[4096];
    char *folder = support_temp_new();
    const char *random = tool("random_model");
    int rc = run(text, support_format("trap '' XFSZ; ulimit -f 4096; %s --like tiny %s/m.gguf",
                                      random, folder));
    assert_int_equal(rc, 1);
    assert_non_null(strstr(text, "File too large"));
    assert_int_equal(count_files(folder), 0);
    support_temp_free(folder);
}

static void a_kill_leaves_nothing_half(void **state)
{
    (void)state;
    char text[4096];
    char *folder = support_temp_new();
    const char *random = tool("random_model");
    int rc =
        run(text, support_format("ulimit -t 1; exec %s --like medium %s/m.gguf", random, folder));
    assert_true(rc >= 128); /* SIGXCPU */
    assert_int_not_equal(access(support_format("%s/m.gguf", folder), F_OK), 0);
    support_temp_free(folder);
}

static void fetching_passes_its_own_check(void **state)
{
    (void)state;
    static char text[4096];
    int rc = run(text, "/usr/bin/python3 tests/model/fetch_check.py");
    if (rc != 0 || !strstr(text, "\nOK\n"))
        fail_msg("%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convert_teaches_and_refuses),
        cmocka_unit_test(check_tells_sound_from_damaged),
        cmocka_unit_test(a_full_disk_leaves_nothing_half),
        cmocka_unit_test(a_kill_leaves_nothing_half),
        cmocka_unit_test(fetching_passes_its_own_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
