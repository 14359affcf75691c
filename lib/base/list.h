/* list.h: a doubly linked ring of things that carry their own link: joining and leaving in a few
 * instructions, without memory. The head is a link too; a link that is in no list is alone.
 *
 *     head <-> a.link <-> b.link <-> head
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

/* Of heads and of links, before anything else. */
static inline void list_init(struct list *link)
{
    link->next = link->previous = link;
}

/* A head: nothing is in it. A link: it is in no list. */
static inline bool list_is_alone(const struct list *link)
{
    return link->next == link;
}

/* Leaves the list that it is in, if any. */
static inline void list_remove(struct list *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    list_init(link);
}

/* Joins at the end; it leaves the one it was in. */
static inline void list_append(struct list *head, struct list *link)
{
    list_remove(link);
    link->previous = head->previous;
    link->next = head;
    head->previous->next = link;
    head->previous = link;
}

/* What carries the link. */
#define list_item(link_, type, member) ((type *)(void *)((char *)(link_) - offsetof(type, member)))

#endif
