#include "seats.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "count.h"

struct seats {
    struct seats_options options;
    struct admission *admission;
    pthread_mutex_t lock;                   /* of all below */
    uint32_t n_places;                      /* a power of two */
    struct seat **places;                   /* by session */
};

enum status seats_new(const struct seats_options *options, struct seats **out, struct error *err)
{
    struct seats *seats = calloc(1, sizeof(*seats));
    *out = NULL;
    if (!seats)
        return error_set(err, STATUS_NO_MEMORY, "no memory for seats");
    seats->options = *options;
    seats->n_places = 1;
    while (seats->n_places < options->admit.sessions_max)
        seats->n_places *= 2;
    seats->places = calloc(seats->n_places, sizeof(struct seat *));
    pthread_mutex_init(&seats->lock, NULL);
    enum status rc = seats->places ? admit_new(&options->admit, &seats->admission, err)
                                   : error_set(err, STATUS_NO_MEMORY, "no memory for seats");
    if (rc == STATUS_OK)
        *out = seats;
    else
        seats_free(&seats);
    return rc;
}

void seats_free(struct seats **seats_ptr)
{
    struct seats *seats = *seats_ptr;
    if (!seats)
        return;
    admit_free(&seats->admission);
    pthread_mutex_destroy(&seats->lock);
    free(seats->places);
    free(seats);
    *seats_ptr = NULL;
}

/* ---- with the lock held ---- */

static struct seat **place_of(const struct seats *seats, const uint8_t *session)
{
    uint64_t hash = XXH3_64bits(session, SEATS_SESSION_BYTES);
    return &seats->places[hash & (seats->n_places - 1)];
}

static struct seat *former_of(const struct seats *seats, const struct seat *seat)
{
    struct seat *former = *place_of(seats, seat->session);
    while (former && !(memcmp(former->session, seat->session, sizeof(seat->session)) == 0 &&
                       former->epoch < seat->epoch &&
                       strcmp(former->pass.key, seat->pass.key) == 0))
        former = former->next;
    return former;
}

static void list_seat(struct seats *seats, struct seat *seat)
{
    struct seat **place = place_of(seats, seat->session);
    seat->next = *place;
    seat->link = place;
    if (seat->next)
        seat->next->link = &seat->next;
    *place = seat;
}

static void unlist_seat(struct seat *seat)
{
    *seat->link = seat->next;
    if (seat->next)
        seat->next->link = seat->link;
    seat->link = NULL;
}

static void take_over(struct seats *seats, struct seat *former, struct seat *seat)
{
    seat->pass = former->pass;
    seat->place = former->place;
    former->pass.metered = false;
    former->place.owner = 0;
    unlist_seat(former);
    list_seat(seats, seat);
    seats->options.replaced(former);
}

static enum status sit_down(struct seats *seats, const char *peer, struct seat *seat,
                            uint32_t *retry_ms, struct error *err)
{
    char name[ADMIT_NAME_MAX];
    struct gate *gate = seats->options.gate;
    enum status rc = gate_enter(gate, &seat->pass, err);
    if (rc == STATUS_EXHAUSTED) {
        uint32_t day_ms = gate_retry_ms(gate, &seat->pass);
        *retry_ms = day_ms > 0 ? day_ms : admit_retry_ms(seats->admission);
    }
    if (rc != STATUS_OK)
        return rc;
    admit_name(seat->pass.key, peer, name);
    rc = admit_enter(seats->admission, name, &seat->place, retry_ms, err);
    if (rc == STATUS_OK) {
        list_seat(seats, seat);
        return rc;
    }
    count_refused(seats->options.metrics, rc);
    gate_leave(gate, &seat->pass);
    return rc;
}

/* ---- for all ---- */

enum status seats_enter(struct seats *seats, const struct seats_ask *ask, struct seat *seat,
                        uint32_t *retry_ms, struct error *err)
{
    *retry_ms = 0;
    *seat = (struct seat){.epoch = ask->epoch};
    memcpy(seat->session, ask->session, sizeof(seat->session));
    enum status rc = gate_check(seats->options.gate, ask->ticket, &seat->pass, err);
    if (rc == STATUS_EXHAUSTED)             /* a ticket whose time is wrong: with a new one */
        *retry_ms = admit_retry_ms(seats->admission);
    if (rc != STATUS_OK)
        return rc;
    pthread_mutex_lock(&seats->lock);
    struct seat *former = former_of(seats, seat);
    if (former)
        take_over(seats, former, seat);
    else
        rc = sit_down(seats, ask->peer, seat, retry_ms, err);
    pthread_mutex_unlock(&seats->lock);
    return rc;
}

void seats_leave(struct seats *seats, struct seat *seat)
{
    pthread_mutex_lock(&seats->lock);
    if (seat->link) {
        unlist_seat(seat);
        gate_leave(seats->options.gate, &seat->pass);
        admit_leave(seats->admission, &seat->place);
    }
    pthread_mutex_unlock(&seats->lock);
}

uint32_t seats_retry_ms(struct seats *seats)
{
    return admit_retry_ms(seats->admission);
}
