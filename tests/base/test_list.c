/* Rings of things that carry their own link. */
#include "../support/support.h"

#include "base/list.h"

struct thing {
    int number;
    struct list link;
};

/* The numbers in the list as one decimal number. */
static int numbers(const struct list *head)
{
    int sum = 0;
    for (struct list *l = head->next; l != head; l = l->next) {
        assert_ptr_equal(l->next->previous, l);
        sum = 10 * sum + list_item(l, struct thing, link)->number;
    }
    return sum;
}

static void things_join_at_the_end_and_leave_from_anywhere(void **state)
{
    struct list first, second;
    struct thing thing[4];
    (void)state;
    list_init(&first);
    list_init(&second);
    assert_true(list_is_alone(&first));
    for (int i = 0; i < 4; i++) {
        thing[i].number = i + 1;
        list_init(&thing[i].link);
        list_append(&first, &thing[i].link);
    }
    assert_int_equal(numbers(&first), 1234);
    list_remove(&thing[1].link);
    assert_int_equal(numbers(&first), 134);
    list_remove(&thing[1].link);            /* is in none: nothing happens */
    assert_true(list_is_alone(&thing[1].link));
    list_append(&second, &thing[0].link);   /* from one into another */
    list_append(&first, &thing[2].link);    /* to the end of its own */
    assert_int_equal(numbers(&first), 43);
    assert_int_equal(numbers(&second), 1);
    list_remove(&thing[0].link);
    assert_true(list_is_alone(&second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_join_at_the_end_and_leave_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
