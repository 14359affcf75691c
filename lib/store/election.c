#include "store/election.h"

#include <stdlib.h>
#include <string.h>

static void apply_member(struct election *election, const char *name, bool deleted)
{
    uint32_t at = 0;
    while (at < election->n_members && strcmp(election->members[at], name) != 0)
        at++;
    if (deleted && at < election->n_members)
        memmove(election->members[at], election->members[at + 1],
                (--election->n_members - at) * sizeof(election->members[0]));
    if (deleted || at < election->n_members || at == ELECTION_MEMBERS_MAX ||
        strlen(name) >= ELECTION_NAME_MAX)
        return;
    memcpy(election->members[at], name, strlen(name) + 1);
    election->n_members++;
}

bool election_has_member(const struct election *election, const char *name)
{
    bool has = election->n_members == ELECTION_MEMBERS_MAX;
    for (uint32_t i = 0; i < election->n_members; i++)
        has |= strcmp(election->members[i], name) == 0;
    return has;
}

static void apply_leader(struct election *election, const struct etcd_entry *entry)
{
    bool fits = !entry->deleted && strlen(entry->value) < ELECTION_NAME_MAX;
    memset(election->leader, 0, sizeof(election->leader));
    if (fits)
        memcpy(election->leader, entry->value, strlen(entry->value));
    election->leader_lease = fits ? entry->lease : 0;
    election->leader_created = fits ? entry->create_revision : 0;
}

static void apply_term(struct election *election, const struct etcd_entry *entry)
{
    char *end;
    uint64_t term = strtoull(entry->value, &end, 10);
    bool good = !entry->deleted && *end == '\0' && entry->value[0] >= '0' &&
                entry->value[0] <= '9' && term < UINT64_MAX;
    if (good)
        election->term = MAX(election->term, term);
    election->term_revision = entry->deleted ? 0 : entry->mod_revision;
}

void election_apply(struct election *election, const char *prefix, const struct etcd_entry *entry)
{
    static const char members[] = "members/";
    size_t n = strlen(prefix);
    if (strncmp(entry->key, prefix, n) != 0)
        return;
    const char *name = entry->key + n;
    if (strncmp(name, members, sizeof(members) - 1) == 0)
        apply_member(election, name + sizeof(members) - 1, entry->deleted);
    else if (strcmp(name, "leader") == 0)
        apply_leader(election, entry);
    else if (strcmp(name, "term") == 0)
        apply_term(election, entry);
}

bool election_leads(const struct election *election, const struct election_self *self)
{
    return self->lease != 0 && election->leader_lease == self->lease &&
           strcmp(election->leader, self->name) == 0;
}

enum election_step election_next(const struct election *election,
                                 const struct election_self *self, uint64_t *term)
{
    *term = MAX(election->term, self->seen) + 1;
    if (self->lease == 0)
        return ELECTION_REST;
    if (election->leader[0] == '\0')
        return ELECTION_CAMPAIGN;
    bool outbid = self->seen > election->term;
    return outbid && election_leads(election, self) ? ELECTION_RAISE : ELECTION_REST;
}
