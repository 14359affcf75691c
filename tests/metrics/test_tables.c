/* The programs' tables are sound, and docs/METRICS.md lists what is in them: names, kinds, labels
 * and their values; and nothing else in the programs' sections but what collectors write. */
#include "../support/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/tables.h"

/* Labels of these are known only in a running program. */
static const char *const collected[] = {"specasr_build_info", "specasr_target_info",
                                        "specasr_target_calls_guarded_total"};

struct row {
    char name[64], kind, labels[128];
};

struct page {
    size_t n;
    struct row rows[128];
};

static void trim(char *text)
{
    size_t n = strlen(text), lead = strspn(text, " ");
    while (n > lead && text[n - 1] == ' ')
        n--;
    memmove(text, text + lead, n - lead);
    text[n - lead] = '\0';
}

/* Rows "| `name` | K | labels | what |" between the heading and the next one. */
static struct page read_section(const char *heading)
{
    struct page page = {0};
    char line[1024];
    bool inside = false;
    FILE *file = fopen("docs/METRICS.md", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "## ", 3) == 0)
            inside = strcmp(line + 3, heading) == 0;
        if (!inside || strncmp(line, "| `", 3) != 0)
            continue;
        struct row *row = &page.rows[page.n++];
        if (sscanf(line, "| `%63[a-z_]` | %c |%127[^|]", row->name, &row->kind, row->labels) != 3)
            fail_msg("not in the form of the table: %s", line);
        trim(row->labels);
        assert_true(page.n < ARRAY_LEN(page.rows));
    }
    fclose(file);
    assert_true(page.n > 0);
    return page;
}

static const struct row *find_row(const struct page *page, const char *name)
{
    for (size_t i = 0; i < page->n; i++)
        if (strcmp(page->rows[i].name, name) == 0)
            return &page->rows[i];
    fail_msg("%s does not stand in docs/METRICS.md", name);
    return NULL;
}

static void assert_row(const struct row *row, const struct metric_def *def, char labels[128])
{
    static const char kinds[] = {'C', 'G', 'H'};
    if (row->kind != kinds[def->kind])
        fail_msg("%s: another kind in docs/METRICS.md", def->name);
    if (!def->labels[0].name)
        return;
    size_t n = strlen(labels);
    if (n == 0)
        snprintf(labels, 128, "%s: %s", def->labels[0].name, def->labels[0].value);
    else
        snprintf(labels + n, 128 - n, ", %s", def->labels[0].value);
}

static bool is_collected(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(collected); i++)
        if (strcmp(collected[i], name) == 0)
            return true;
    return false;
}

static void assert_same(const struct metric_def *defs, size_t n, const char *heading)
{
    struct page page = read_section(heading);
    struct metrics *metrics;
    struct error err;
    size_t n_names = 0;
    assert_ok(metrics_new(defs, n, &metrics, &err), &err);
    metrics_free(&metrics);
    for (size_t i = 0; i < n; n_names++) {
        char labels[128] = "";
        const struct row *row = find_row(&page, defs[i].name);
        const char *name = defs[i].name;
        for (; i < n && strcmp(defs[i].name, name) == 0; i++)
            assert_row(row, &defs[i], labels);
        if (strcmp(labels, row->labels) != 0)
            fail_msg("%s: docs/METRICS.md has the labels \"%s\", the table \"%s\"", name,
                     row->labels, labels);
    }
    size_t n_documented = 0;
    for (size_t i = 0; i < page.n; i++)
        n_documented += !is_collected(page.rows[i].name);
    assert_int_equal(n_documented, n_names);
}

static void the_target_is_as_documented(void **state)
{
    (void)state;
    assert_same(metrics_target, TARGET_METRICS_N, "target_node");
}

static void the_coordinator_is_as_documented(void **state)
{
    (void)state;
    assert_same(metrics_coordinator, COORDINATOR_METRICS_N, "coordinator");
}

static void the_client_is_as_documented(void **state)
{
    (void)state;
    assert_same(metrics_client, CLIENT_METRICS_N, "draft_node");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_target_is_as_documented),
        cmocka_unit_test(the_coordinator_is_as_documented),
        cmocka_unit_test(the_client_is_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
