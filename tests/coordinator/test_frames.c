#include "../support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/coordinator_frames.h"

typedef struct wire_coordinator_message message;

static uint32_t below(uint64_t *seed, uint32_t n)
{
    return (uint32_t)(support_random(seed) % n);
}

static void random_address(uint64_t *seed, char *out)
{
    snprintf(out, WIRE_ADDRESS_MAX, "host-%u.example:%u", below(seed, 1000),
             1 + below(seed, 65535));
}

static void random_load(uint64_t *seed, struct wire_target_load *load)
{
    load->sequence = support_random(seed);
    load->state = (enum wire_target_state)below(seed, WIRE_STATE_N);
    load->sessions = below(seed, 5000);
    load->busy = below(seed, 5000);
    load->queue_us = (uint32_t)support_random(seed);
    load->window_us = (uint32_t)support_random(seed);
    load->step_us = (uint32_t)support_random(seed);
    load->row_us = (uint32_t)support_random(seed);
}

static void random_key(uint64_t *seed, char key[WIRE_BUS_KEY_MAX])
{
    if (below(seed, 2))
        snprintf(key, WIRE_BUS_KEY_MAX, "%.*s%04u", WIRE_BUS_KEY_MAX - 5,
                 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7", below(seed, 10000));
}

static void random_info(uint64_t *seed, struct wire_target_info *info)
{
    random_address(seed, info->address);
    snprintf(info->tls_name, sizeof(info->tls_name), below(seed, 2) ? "asr.example" : "");
    snprintf(info->model, sizeof(info->model), "mod\xC3\xA8le-%u", below(seed, 100));
    info->fingerprint = support_random(seed);
    info->vocabulary_hash = support_random(seed);
    info->incarnation = 1 + below(seed, 1000);
    info->sessions_max = 1 + below(seed, 1000);
    info->tls = below(seed, 2);
    random_key(seed, info->bus_key);
}

static void random_policy(uint64_t *seed, struct wire_policy *policy)
{
    policy->term = support_random(seed);
    policy->ttl_ms = below(seed, 100000);
    policy->shadow_price = support_uniform(seed, 0.0f, 64.0f);
    policy->latency_goal_ms = below(seed, 10000);
    policy->modes = below(seed, WIRE_MODES_ALL + 1);
}

static void random_place(uint64_t *seed, struct wire_place *place)
{
    for (uint32_t i = 0; i < sizeof(place->session); i++)
        place->session[i] = (uint8_t)support_random(seed);
    snprintf(place->model, sizeof(place->model), "base");
    place->fingerprint = support_random(seed);
    place->rounds = below(seed, 100);
    place->n_distances = below(seed, WIRE_DISTANCES_MAX + 1);
    place->n_avoid = below(seed, WIRE_AVOID_MAX + 1);
    for (uint32_t i = 0; i < place->n_distances; i++) {
        random_address(seed, place->distances[i].address);
        place->distances[i].rtt_us = (uint32_t)support_random(seed);
    }
    for (uint32_t i = 0; i < place->n_avoid; i++)
        random_address(seed, place->avoid[i]);
}

static void random_placed(uint64_t *seed, struct wire_placed *placed)
{
    placed->n_targets = below(seed, WIRE_PLACED_MAX + 1);
    placed->retry_ms = placed->n_targets ? 0 : 1 + below(seed, 1000);
    snprintf(placed->reason, sizeof(placed->reason), placed->n_targets ? "" : "full");
    placed->n_ticket = below(seed, WIRE_TICKET_MAX + 1);
    for (uint32_t i = 0; i < placed->n_ticket; i++)
        placed->ticket[i] = (uint8_t)support_random(seed);
    for (uint32_t i = 0; i < placed->n_targets; i++) {
        random_address(seed, placed->targets[i].address);
        placed->targets[i].fingerprint = support_random(seed);
        placed->targets[i].expected_us = (uint32_t)support_random(seed);
    }
}

static void random_coordinators(uint64_t *seed, struct wire_coordinators *coordinators)
{
    coordinators->n = below(seed, WIRE_COORDINATORS_MAX + 1);
    for (uint32_t i = 0; i < coordinators->n; i++)
        random_address(seed, coordinators->item[i]);
}

static void random_listed(uint64_t *seed, struct wire_listed *listed)
{
    listed->uptime_ms = support_random(seed);
    listed->heartbeat_ms = below(seed, 1000);
    random_policy(seed, &listed->policy);
    listed->placed = support_random(seed);
    listed->leads = below(seed, 2);
    listed->store_up = below(seed, 2);
    if (below(seed, 2))
        random_address(seed, listed->leader);
    random_coordinators(seed, &listed->coordinators);
    listed->n_targets = below(seed, below(seed, 4) ? 5 : WIRE_CLUSTER_TARGETS_MAX + 1);
    listed->targets = calloc(listed->n_targets + 1, sizeof(*listed->targets));
    for (uint32_t i = 0; i < listed->n_targets; i++) {
        random_info(seed, &listed->targets[i].info);
        random_load(seed, &listed->targets[i].load);
        listed->targets[i].age_ms = below(seed, 5000);
        listed->targets[i].placed = support_random(seed);
        listed->targets[i].drain = below(seed, 2);
    }
}

static void random_registered(uint64_t *seed, struct wire_registered *registered)
{
    registered->verdict = (enum wire_verdict)below(seed, WIRE_VERDICT_N);
    registered->heartbeat_ms = 50 + below(seed, 1000);
    random_policy(seed, &registered->policy);
    random_key(seed, registered->bus.key);
    if (registered->bus.key[0]) {
        registered->bus.load_port = 1 + below(seed, 65535);
        registered->bus.policy_port = 1 + below(seed, 65535);
    }
    random_coordinators(seed, &registered->coordinators);
}

static void random_message(uint64_t *seed, enum wire_coordinator_kind kind, message *m)
{
    memset(m, 0, sizeof(*m));
    m->kind = kind;
    switch (kind) {
    case WIRE_REGISTER:
        random_info(seed, &m->u.registration.info);
        random_load(seed, &m->u.registration.load);
        m->u.registration.term = support_random(seed);
        break;
    case WIRE_REGISTERED:
        random_registered(seed, &m->u.registered);
        break;
    case WIRE_HEARTBEAT:
        random_address(seed, m->u.heartbeat.address);
        m->u.heartbeat.incarnation = 1 + below(seed, 1000);
        random_load(seed, &m->u.heartbeat.load);
        break;
    case WIRE_HEARD:
        m->u.heard.verdict = (enum wire_verdict)below(seed, WIRE_VERDICT_N);
        m->u.heard.drain = below(seed, 2);
        random_policy(seed, &m->u.heard.policy);
        random_coordinators(seed, &m->u.heard.coordinators);
        break;
    case WIRE_PLACE:
        random_place(seed, &m->u.place);
        break;
    case WIRE_PLACED:
        random_placed(seed, &m->u.placed);
        break;
    case WIRE_LISTED:
        random_listed(seed, &m->u.listed);
        break;
    case WIRE_DRAIN_TARGET:
        random_address(seed, m->u.drain_target.address);
        m->u.drain_target.incarnation = support_random(seed);
        m->u.drain_target.undo = below(seed, 2);
        break;
    default:
        m->u.drain_noted.known = kind == WIRE_DRAIN_NOTED;
        break;
    }
}

static struct wire_bytes pack(const message *m)
{
    struct wire_bytes bytes;
    struct error err;
    assert_ok(wire_coordinator_pack(m, &bytes, &err), &err);
    return bytes;
}

static void every_message_comes_back_exactly(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int i = 0; i < 100 * WIRE_COORDINATOR_KIND_N; i++) {
        message m, back;
        struct error err;
        random_message(&seed, (enum wire_coordinator_kind)(i % WIRE_COORDINATOR_KIND_N), &m);
        struct wire_bytes bytes = pack(&m);
        assert_ok(wire_coordinator_unpack(bytes.data, bytes.size, m.kind, &back, &err), &err);
        if (m.kind == WIRE_LISTED) {
            assert_int_equal(m.u.listed.n_targets, back.u.listed.n_targets);
            assert_memory_equal(m.u.listed.targets, back.u.listed.targets,
                                m.u.listed.n_targets * sizeof(*m.u.listed.targets));
            free(back.u.listed.targets);
            back.u.listed.targets = m.u.listed.targets;
        }
        assert_memory_equal(&m, &back, sizeof(m));
        wire_coordinator_release(&m);
        wire_bytes_release(&bytes);
    }
}

static void damaged_messages_are_refused_or_stay_valid(void **state)
{
    (void)state;
    uint64_t seed = 12;
    int n_refused = 0, n_accepted = 0;
    for (int i = 0; i < 20000; i++) {
        message m, back;
        struct error err;
        enum wire_coordinator_kind kind =
            (enum wire_coordinator_kind)below(&seed, WIRE_COORDINATOR_KIND_N);
        random_message(&seed, kind, &m);
        struct wire_bytes bytes = pack(&m);
        for (uint32_t k = 0; k < 1 + below(&seed, 4) && bytes.size > 0; k++)
            bytes.data[below(&seed, (uint32_t)bytes.size)] = (uint8_t)support_random(&seed);
        size_t size = below(&seed, 4) ? bytes.size : below(&seed, (uint32_t)bytes.size + 1);
        enum status rc = wire_coordinator_unpack(bytes.data, size, kind, &back, &err);
        if (rc == STATUS_OK) {
            struct wire_bytes again = pack(&back);  /* asserts that it is valid */
            wire_bytes_release(&again);
            wire_coordinator_release(&back);
            n_accepted++;
        } else {
            assert_int_equal(rc, STATUS_CORRUPT);
            assert_true(err.text[0] != '\0');
            n_refused++;
        }
        wire_bytes_release(&bytes);
        wire_coordinator_release(&m);
    }
    assert_true(n_refused > 1000 && n_accepted > 1000);
}

static void addresses_are_a_host_and_a_port(void **state)
{
    (void)state;
    static const char *const good[] = {"a:1", "127.0.0.1:7600", "[::1]:65535", "h.example:80"};
    static const char *const bad[] = {"", "a", ":1", "a:", "a:0", "a:65536", "a:123456",
                                      "a b:1", "a:1x", "\"a:1", "a\n:1", "\xC3\xA9:1"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(wire_address_ok(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(wire_address_ok(bad[i]));
}

static enum status unpack_of(const char *hex, enum wire_coordinator_kind kind, struct error *err)
{
    uint8_t data[64];
    size_t n = strlen(hex) / 2;
    message m;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        data[i] = (uint8_t)byte;
    }
    enum status rc = wire_coordinator_unpack(data, n, kind, &m, err);
    if (rc == STATUS_OK)
        wire_coordinator_release(&m);
    return rc;
}

static void what_breaks_the_rules_is_named(void **state)
{
    (void)state;
    static const struct {
        enum wire_coordinator_kind kind;
        const char *hex, *text;
    } cases[] = {
        {WIRE_REGISTER, "", "no description of the target"},
        {WIRE_REGISTER, "0a00", "not HOST:PORT"},
        {WIRE_REGISTER, "0a050a03613a31", "incarnation 0"},
        {WIRE_HEARTBEAT, "0a03613a31", "incarnation 0"},
        {WIRE_HEARTBEAT, "0a03613a311101000000000000001a021009", "unknown state"},
        {WIRE_HEARD, "0809", "unknown verdict"},
        {WIRE_HEARD, "1a051d0000c07f", "shadow_price"},         /* NaN */
        {WIRE_HEARD, "1a022810", "unknown modes"},
        {WIRE_REGISTERED, "1001", "heartbeat_ms"},
        {WIRE_REGISTERED, "10642202080a", "half a bus"},
        {WIRE_REGISTERED, "10642203080a1005", "a malformed"},
        {WIRE_REGISTERED, "10642a0161", "a coordinator's address"},
        {WIRE_REGISTER, "0a110a03613a313101000000000000004a0161", "bus_key"},
        {WIRE_PLACE, "", "session id of 0 bytes"},
        {WIRE_PLACED, "", "neither targets nor a time"},
        {WIRE_PLACED, "08011a050a03613a31", "or both"},
        {WIRE_DRAIN_TARGET, "", "not HOST:PORT"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        assert_int_equal(unpack_of(cases[i].hex, cases[i].kind, &err), STATUS_CORRUPT);
        if (!strstr(err.text, cases[i].text))
            fail_msg("case %zu: \"%s\" has no \"%s\"", i, err.text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back_exactly),
        cmocka_unit_test(damaged_messages_are_refused_or_stay_valid),
        cmocka_unit_test(addresses_are_a_host_and_a_port),
        cmocka_unit_test(what_breaks_the_rules_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
