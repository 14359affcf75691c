/* What `coordinator status` prints: read back by a parser, also where names are strange. */
#include "../support/support.h"

#include <stdlib.h>
#include <string.h>

#include "../../coordinator/ask.c"

static struct wire_target_row row(const char *address, const char *model)
{
    struct wire_target_row row = {.age_ms = 7, .placed = 3, .load = {.sessions = 2}};
    snprintf(row.info.address, sizeof(row.info.address), "%s", address);
    snprintf(row.info.model, sizeof(row.info.model), "%s", model);
    row.info.fingerprint = UINT64_C(0xFEDCBA9876543210);
    row.info.incarnation = UINT64_C(18446744073709551615);
    row.info.sessions_max = 4;
    return row;
}

static void json_can_be_read_back_whatever_names_are(void **state)
{
    (void)state;
    struct wire_target_row rows[2] = {row("a:1", "a \"quoted\\ model\n\x01"),
                                      row("[::1]:2", "größer")};
    struct wire_listed listed = {.n_targets = 2, .targets = rows, .placed = 5,
                                 .policy = {.term = 9, .shadow_price = 1.5f}};
    char *text = NULL;
    size_t size;
    rows[1].drain = true;
    FILE *out = open_memstream(&text, &size);
    assert_true(status_print_json(&listed, out));
    assert_int_equal(fclose(out), 0);
    assert_int_equal(text[size - 1], '\n');
    cJSON *all = cJSON_Parse(text);
    assert_non_null(all);
    const cJSON *targets = cJSON_GetObjectItem(all, "targets");
    const cJSON *first = cJSON_GetArrayItem(targets, 0), *second = cJSON_GetArrayItem(targets, 1);
    assert_int_equal(cJSON_GetArraySize(targets), 2);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(first, "model")),
                        rows[0].info.model);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(first, "fingerprint")),
                        "fedcba9876543210");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(first, "incarnation")),
                        "18446744073709551615");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(first, "state")), "serving");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(second, "state")), "drained");
    const cJSON *policy = cJSON_GetObjectItem(all, "policy");
    assert_true(cJSON_GetObjectItem(policy, "shadow_price")->valuedouble == 1.5);
    assert_int_equal(cJSON_GetObjectItem(policy, "term")->valueint, 9);
    cJSON_Delete(all);
    free(text);
}

static void the_table_sums_up(void **state)
{
    (void)state;
    struct wire_target_row rows[2] = {row("a:1", "base"), row("b:1", "base")};
    struct wire_listed listed = {.n_targets = 2, .targets = rows};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    status_print_table(&listed, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "2 targets, 4 of 8 sessions"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_can_be_read_back_whatever_names_are),
        cmocka_unit_test(the_table_sums_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
