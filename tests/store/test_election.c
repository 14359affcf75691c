/* Who leads, as keys say it: pure. */
#include "../support/support.h"

#include <stdio.h>
#include <string.h>

#include "store/election.h"

static const char prefix[] = "p/";

static void put(struct election *election, const char *key, const char *value, int64_t lease,
                int64_t revision)
{
    struct etcd_entry entry = {.create_revision = revision, .mod_revision = revision,
                               .lease = lease};
    snprintf(entry.key, sizeof(entry.key), "%s", key);
    snprintf(entry.value, sizeof(entry.value), "%s", value);
    election_apply(election, prefix, &entry);
}

static void cut(struct election *election, const char *key)
{
    struct etcd_entry entry = {.mod_revision = 99, .deleted = true};
    snprintf(entry.key, sizeof(entry.key), "%s", key);
    election_apply(election, prefix, &entry);
}

static const struct election_self a = {.name = "a:1", .lease = 11};

static void members_come_and_go(void **state)
{
    (void)state;
    struct election e = {0};
    put(&e, "p/members/a:1", "a:1", 11, 1);
    put(&e, "p/members/b:1", "b:1", 12, 2);
    put(&e, "p/members/c:1", "c:1", 13, 3);
    put(&e, "p/members/b:1", "b:1", 14, 4);
    put(&e, "q/members/d:1", "d:1", 14, 4);
    put(&e, "p/unknown", "x", 0, 4);
    assert_int_equal(e.n_members, 3);
    cut(&e, "p/members/b:1");
    cut(&e, "p/members/b:1");
    assert_int_equal(e.n_members, 2);
    assert_string_equal(e.members[0], "a:1");
    assert_string_equal(e.members[1], "c:1");
    assert_true(election_has_member(&e, "c:1"));
    assert_false(election_has_member(&e, "b:1"));
    for (int i = 0; i < 20; i++)
        put(&e, support_format("p/members/m%d:1", i), "m", 1, 5);
    assert_int_equal(e.n_members, ELECTION_MEMBERS_MAX);
    assert_true(election_has_member(&e, "z:1"));        /* as far as anybody can tell */
}

static void who_finds_no_leader_may_become_it_with_a_term_above_all(void **state)
{
    (void)state;
    struct election e = {0};
    uint64_t term;
    assert_int_equal(election_next(&e, &a, &term), ELECTION_CAMPAIGN);
    assert_int_equal(term, 1);
    put(&e, "p/term", "41", 0, 7);
    assert_int_equal(election_next(&e, &a, &term), ELECTION_CAMPAIGN);
    assert_int_equal(term, 42);
    assert_int_equal(e.term_revision, 7);
    struct election_self told = a;
    told.seen = 100;
    assert_int_equal(election_next(&e, &told, &term), ELECTION_CAMPAIGN);
    assert_int_equal(term, 101);
    told.lease = 0;
    assert_int_equal(election_next(&e, &told, &term), ELECTION_REST);
}

static void one_leads_with_this_lease_and_no_other(void **state)
{
    (void)state;
    struct election e = {0};
    uint64_t term;
    struct election_self later = a, without = a, b = {.name = "b:1", .lease = 11};
    later.lease = 12;
    without.lease = 0;
    put(&e, "p/leader", "a:1", 11, 5);
    put(&e, "p/term", "3", 0, 5);
    assert_true(election_leads(&e, &a));
    assert_false(election_leads(&e, &later));
    assert_false(election_leads(&e, &without));
    assert_false(election_leads(&e, &b));
    assert_int_equal(election_next(&e, &a, &term), ELECTION_REST);
    assert_int_equal(election_next(&e, &later, &term), ELECTION_REST);
    cut(&e, "p/leader");
    assert_false(election_leads(&e, &a));
    assert_int_equal(election_next(&e, &later, &term), ELECTION_CAMPAIGN);
    assert_int_equal(term, 4);
}

/* The store was set up anew, its terms begin at 1, targets remember higher ones. */
static void only_the_leader_raises_the_term(void **state)
{
    (void)state;
    struct election e = {0};
    uint64_t term;
    struct election_self seen = a;
    struct election_self other = {.name = "b:1", .lease = 12, .seen = 50};
    put(&e, "p/leader", "a:1", 11, 5);
    put(&e, "p/term", "3", 0, 5);
    seen.seen = 3;
    assert_int_equal(election_next(&e, &seen, &term), ELECTION_REST);
    seen.seen = 50;
    assert_int_equal(election_next(&e, &seen, &term), ELECTION_RAISE);
    assert_int_equal(term, 51);
    assert_int_equal(election_next(&e, &other, &term), ELECTION_REST);
}

static void a_term_is_never_lowered_and_never_taken_from_nonsense(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "-1", "7x", " 8", "18446744073709551615"};
    struct election e = {0};
    put(&e, "p/term", "9", 0, 2);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        put(&e, "p/term", bad[i], 0, 3 + (int64_t)i);
    put(&e, "p/term", "4", 0, 20);
    assert_int_equal(e.term, 9);
    assert_int_equal(e.term_revision, 20);      /* what the next transaction is compared with */
    cut(&e, "p/term");
    assert_int_equal(e.term, 9);
    assert_int_equal(e.term_revision, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_and_go),
        cmocka_unit_test(who_finds_no_leader_may_become_it_with_a_term_above_all),
        cmocka_unit_test(one_leads_with_this_lease_and_no_other),
        cmocka_unit_test(only_the_leader_raises_the_term),
        cmocka_unit_test(a_term_is_never_lowered_and_never_taken_from_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
