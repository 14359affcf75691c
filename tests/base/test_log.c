/* Lines of the log, as text and as JSON. stderr is a file while a line is written. */
#include "../support/support.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static char written[16384];

/* What `write_one` writes to stderr. */
static const char *lines_of(void (*write_one)(void))
{
    int before = dup(STDERR_FILENO);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    write_one();
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    rewind(file);
    size_t n = fread(written, 1, sizeof(written) - 1, file);
    written[n] = '\0';
    fclose(file);
    return written;
}

static const struct log_about about = {"00112233445566778899aabbccddeeff",
                                       "0af7651916cd43dd8448eb211c80319c"};

static void plain(void)
{
    log_line(LOG_WARN, "%d targets", 2);
    log_line(LOG_DEBUG, "not at this level");
}

static void of_a_session(void)
{
    log_line_about(LOG_INFO, &about, "ended");
}

static void ugly(void)
{
    log_line(LOG_ERROR, "a \"b\" \\ \n\t\x01 \xff \xe4\xb8\xad");
}

static void endless(void)
{
    char text[3000];
    memset(text, '\x02', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_line(LOG_ERROR, "%s", text);
}

static void text_is_for_people(void **state)
{
    (void)state;
    log_init("test", LOG_INFO);
    log_set_format(LOG_TEXT);
    assert_string_equal(lines_of(plain), "test: warning: 2 targets\n");
    assert_string_equal(lines_of(of_a_session),
                        "test: session 00112233445566778899aabbccddeeff: ended "
                        "(trace 0af7651916cd43dd8448eb211c80319c)\n");
}

static const char *member(const cJSON *object, const char *name)
{
    const cJSON *found = cJSON_GetObjectItem(object, name);
    return cJSON_IsString(found) ? found->valuestring : "absent";
}

/* One line that is one object. */
static cJSON *object_of(void (*write_one)(void))
{
    const char *text = lines_of(write_one);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    cJSON *object = cJSON_Parse(text);
    if (!object)
        fail_msg("no JSON: %s", text);
    return object;
}

static void json_is_an_object_a_line(void **state)
{
    (void)state;
    struct log_about own = about;
    log_init("test", LOG_INFO);
    log_set_format(LOG_JSON);
    cJSON *object = object_of(plain);
    assert_string_equal(member(object, "level"), "warning");
    assert_string_equal(member(object, "program"), "test");
    assert_string_equal(member(object, "message"), "2 targets");
    assert_string_equal(member(object, "session"), "absent");
    assert_int_equal(strlen(member(object, "time")), strlen("2026-01-02T03:04:05.678Z"));
    cJSON_Delete(object);
    object = object_of(of_a_session);
    assert_string_equal(member(object, "session"), about.session);
    assert_string_equal(member(object, "trace"), about.trace);
    cJSON_Delete(object);
    own.session[0] = 'f';
    log_set_about(&own);
    object = object_of(plain);
    assert_string_equal(member(object, "session"), own.session);
    cJSON_Delete(object);
    log_set_about(NULL);
    object = object_of(ugly);
    assert_string_equal(member(object, "message"), "a \"b\" \\ \n\t\x01 ? \xe4\xb8\xad");
    cJSON_Delete(object);
    object = object_of(endless);
    assert_int_equal(strlen(member(object, "message")), 1023);
    cJSON_Delete(object);
    log_set_format(LOG_TEXT);
}

static void a_session_is_hexadecimal(void **state)
{
    (void)state;
    struct log_about made = {0};
    const uint8_t id[16] = {0x00, 0x0f, 0xf0, 0xff};
    log_about_session(&made, id);
    assert_string_equal(made.session, "000ff0ff000000000000000000000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_for_people),
        cmocka_unit_test(json_is_an_object_a_line),
        cmocka_unit_test(a_session_is_hexadecimal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
