#include "memory.h"

static double megabytes(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

enum status memory_plan(const struct memory_ask *ask, struct memory_plan *plan, struct error *err)
{
    uint32_t sessions = ask->sessions ? ask->sessions : MEMORY_SESSIONS_DEFAULT;
    *plan = (struct memory_plan){.sessions = sessions, .slots = sessions};
    if (ask->budget == 0)
        return STATUS_OK;
    uint64_t seats = (ask->sessions ? sessions : 1u) * (uint64_t)MEMORY_SEAT_BYTES;
    uint64_t least = ask->fixed + seats + ask->slot;
    if (ask->budget < least)
        return error_set(err, STATUS_NO_MEMORY,
                         "the model takes %.0f MB, %s %.0f MB, and one of them at work %.0f MB: "
                         "together more than the %.0f MB that there are. Give it more memory "
                         "(--memory, the limit of its control group)%s or a smaller model",
                         megabytes(ask->fixed),
                         ask->sessions ? "that many sessions" : "a session", megabytes(seats),
                         megabytes(ask->slot), megabytes(ask->budget),
                         ask->sessions > 1 ? ", fewer --sessions" : "");
    uint64_t left = ask->budget - ask->fixed;
    uint64_t slots = ask->sessions ? (left - seats) / ask->slot
                                   : left / (ask->slot + MEMORY_SEAT_BYTES);
    plan->slots = (uint32_t)MIN(slots, (uint64_t)sessions);
    if (!ask->sessions)
        plan->sessions = plan->slots;
    return STATUS_OK;
}
