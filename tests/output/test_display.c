#include "terminal.h"

#include <fcntl.h>
#include <locale.h>
#include <pty.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "output/display.h"

static struct terminal terminal;
static char buffer[DISPLAY_BYTES_MAX];

static void show(struct display_screen *screen, const struct display_state *state)
{
    struct display_size size = {(uint32_t)terminal.columns, (uint32_t)terminal.rows};
    size_t n = display_render(screen, size, state, buffer, sizeof(buffer));
    terminal_write(&terminal, buffer, n);
}

static void provisional_text_is_dim_and_replaced_in_place(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    terminal_reset(&terminal, 60, 10);
    terminal_write(&terminal, "$ draft_node\r\n", 14);
    show(&screen, &(struct display_state){.label = "a.wav", .audio_total_s = 9,
                                          .provisional = " He was not an ill"});
    assert_string_equal(terminal_row(&terminal, 1), "He was not an ill");
    assert_true(terminal.cells[1][0].dim);
    assert_string_equal(terminal_row(&terminal, 2), "a.wav");
    show(&screen, &(struct display_state){.label = "a.wav", .audio_total_s = 9,
                                          .decided = " He was", .provisional = " not a hill"});
    assert_string_equal(terminal_row(&terminal, 1), "He was not a hill");
    assert_false(terminal.cells[1][5].dim);
    assert_true(terminal.cells[1][7].dim);
    assert_false(terminal.cells[2][0].dim);
    show(&screen, &(struct display_state){.label = "a.wav", .audio_total_s = 9,
                                          .committed = " He was.", .provisional = ""});
    assert_string_equal(terminal_row(&terminal, 1), "He was.");
    assert_string_equal(terminal_row(&terminal, 2), "a.wav");
    assert_string_equal(terminal_row(&terminal, 3), "");
    show(&screen, NULL);
    assert_string_equal(terminal_row(&terminal, 0), "$ draft_node");
    assert_string_equal(terminal_row(&terminal, 1), "");
    assert_string_equal(terminal_row(&terminal, 2), "");
    assert_int_equal(terminal.row, 1);
    assert_int_equal(terminal.column, 0);
}

static void long_audio_has_a_bar_with_speed_and_time_left(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    struct display_state s = {.label = "talk.flac", .audio_done_s = 250, .audio_total_s = 600,
                              .elapsed_s = 25};
    terminal_reset(&terminal, 80, 10);
    show(&screen, &s);
    assert_string_equal(terminal_row(&terminal, 0),
                        "talk.flac  [==============>                   ]  4:10 / 10:00  "
                        "10.0x  0:35 left");
    s.audio_done_s = 600;
    show(&screen, &s);
    assert_string_equal(terminal_row(&terminal, 0),
                        "talk.flac  [=================================]  10:00 / 10:00  "
                        "24.0x  0:00 left");
    s.audio_done_s = 0;
    show(&screen, &s);
    assert_non_null(strstr(terminal_row(&terminal, 0), "]  0:00 / 10:00"));
    s = (struct display_state){.label = "-", .audio_done_s = 5000, .elapsed_s = 5000};
    show(&screen, &s);
    assert_string_equal(terminal_row(&terminal, 0), "-  1:23:20  1.0x");
}

static void lines_break_at_blanks_and_the_last_ones_are_shown(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    terminal_reset(&terminal, 11, 4);
    show(&screen, &(struct display_state){.label = "x", .audio_total_s = 1,
                                          .committed = "one two three four five six seven"});
    assert_string_equal(terminal_row(&terminal, 0), "three four");
    assert_string_equal(terminal_row(&terminal, 1), "five six");
    assert_string_equal(terminal_row(&terminal, 2), "seven");
    show(&screen, &(struct display_state){.label = "x", .audio_total_s = 1,
                                          .committed = "abcdefghijklmnop 日本語日本語日本語"});
    assert_string_equal(terminal_row(&terminal, 0), "klmnop 日");
    assert_string_equal(terminal_row(&terminal, 1), "本語日本語");
    assert_string_equal(terminal_row(&terminal, 2), "日本語");
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    terminal_reset(&terminal, 60, 10);
    show(&screen, &(struct display_state){.label = "a\x1b[2Jb", .audio_total_s = 1,
                                          .committed = "x\x1b]0;t\x07y\r\nz\xC2\x9B" "5A\x7Fw",
                                          .provisional = "\xFF\xE2\x82"});
    assert_string_equal(terminal_row(&terminal, 0), "x ]0;t y  z 5A w���");
    assert_string_equal(terminal_row(&terminal, 1), "a [2Jb");
}

static void a_narrowed_terminal_is_cleared_whole(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    char text[41];
    memset(text, 'x', 40);
    text[40] = '\0';
    struct display_state s = {.label = text, .audio_total_s = 1, .committed = text};
    display_render(&screen, (struct display_size){60, 10}, &s, buffer, sizeof(buffer));
    assert_int_equal(screen.n_lines, 2);
    size_t n = display_render(&screen, (struct display_size){20, 10}, NULL, buffer, sizeof(buffer));
    assert_int_equal(n, strlen("\r\x1b[3A\x1b[J")); /* two lines of 40 take four rows of 20 */
    assert_memory_equal(buffer, "\r\x1b[3A\x1b[J", n);
    assert_int_equal(screen.n_lines, 0);
}

/* Random text of many scripts, with bytes that are no text; terminated. */
static void random_text(char *out, size_t max, uint64_t *random)
{
    static const char *const pieces[] = {
        "word ", "a", " ", "日", "本語 ", "é", "e\xCC\x81", "👩‍👩‍👧",
        "❤️", "🇩🇪", "\x1b[5A", "\n", "\t", "ไทย", "العربية ",
        "\xFF", "\xE2\x82", "\xC2\x9B", "longerwordthanthat", "।", "한국어"};
    size_t n = 0;
    out[0] = '\0';
    for (uint64_t left = support_random(random) % 60; left > 0; left--) {
        const char *piece = pieces[support_random(random) % ARRAY_LEN(pieces)];
        n = MIN(n + (size_t)snprintf(out + n, max - n, "%s", piece), max - 1);
    }
}

static void any_text_on_any_terminal_leaves_no_trace(void **state)
{
    (void)state;
    static struct terminal before;
    uint64_t random = 3;
    for (int round = 0; round < 3000; round++) {
        char part[3][512];
        struct display_screen screen = {0};
        terminal_reset(&terminal, 8 + (int)(support_random(&random) % 200),
                       8 + (int)(support_random(&random) % 30));
        terminal_write(&terminal, "above\r\n", 7);
        before = terminal;
        for (int frame = 0; frame < 3; frame++) {
            for (int i = 0; i < 3; i++)
                random_text(part[i], sizeof(part[i]), &random);
            struct display_state s = {.label = part[0], .audio_done_s = frame, .elapsed_s = frame,
                                      .audio_total_s = (double)(support_random(&random) % 100),
                                      .committed = part[0], .decided = part[1],
                                      .provisional = part[2]};
            show(&screen, &s);
            assert_string_equal(terminal_row(&terminal, 0), "above");
            assert_int_equal(terminal.row, (int)screen.n_lines);
        }
        show(&screen, NULL);
        assert_int_equal(terminal.n_wraps, 0);
        assert_memory_equal(&terminal, &before, sizeof(terminal));
    }
}

static void marks_without_width_do_not_overflow(void **state)
{
    (void)state;
    static char text[200001];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xCC\x81", 2);
    struct display_screen screen = {0};
    terminal_reset(&terminal, 200, 30);
    show(&screen, &(struct display_state){.label = text, .committed = text, .provisional = text});
    assert_true(screen.n_lines <= DISPLAY_LINES_MAX);
}

static void a_tiny_terminal_shows_nothing(void **state)
{
    (void)state;
    struct display_screen screen = {0};
    struct display_state s = {.label = "x", .committed = "text"};
    assert_int_equal(
        display_render(&screen, (struct display_size){7, 24}, &s, buffer, sizeof(buffer)), 0);
    assert_int_equal(
        display_render(&screen, (struct display_size){80, 1}, &s, buffer, sizeof(buffer)), 0);
    assert_int_equal(
        display_render(&screen, (struct display_size){0, 0}, &s, buffer, sizeof(buffer)), 0);
}

static size_t read_some(int fd, char *out, size_t max)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    ssize_t n = read(fd, out, max);
    return n > 0 ? (size_t)n : 0;
}

static void a_terminal_is_drawn_on_at_most_every_50_ms(void **state)
{
    (void)state;
    int master = -1, slave = -1;
    struct winsize window = {.ws_row = 10, .ws_col = 40};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &window), 0);
    uint64_t us = 1000;
    struct display *display = NULL;
    struct error err = {0};
    assert_ok(display_new(slave, true, "xterm", clock_manual(&us), &display, &err), &err);
    assert_true(display_active(display));
    char got[4096];
    struct display_state s = {.label = "a.wav", .audio_total_s = 1, .committed = "one"};
    display_show(display, &s, false);
    assert_true(read_some(master, got, sizeof(got)) > 0);
    us += 49999;
    display_show(display, &s, false);
    assert_int_equal(read_some(master, got, sizeof(got)), 0);
    display_show(display, &s, true);
    assert_true(read_some(master, got, sizeof(got)) > 0);
    us += 50000;
    display_show(display, &s, false);
    assert_true(read_some(master, got, sizeof(got)) > 0);
    log_init("test", LOG_INFO);
    log_line(LOG_INFO, "a log line clears the area first");
    size_t n = read_some(master, got, sizeof(got));
    assert_int_equal(n, strlen("\r\x1b[1A\x1b[J"));
    assert_memory_equal(got, "\r\x1b[1A\x1b[J", n);
    display_free(&display);
    assert_null(display);
    log_line(LOG_INFO, "and after the end nothing is called");
    assert_int_equal(read_some(master, got, sizeof(got)), 0);
    close(slave);
    close(master);
}

static void elsewhere_nothing_is_written(void **state)
{
    (void)state;
    int ends[2], master = -1, slave = -1;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    const struct {
        int fd, from;
        bool enabled;
        const char *term;
    } cases[] = {{ends[1], ends[0], true, "xterm"},
                 {slave, master, true, "dumb"},
                 {slave, master, false, "xterm"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t us = 1;
        char got[64];
        struct display *display = NULL;
        struct error err = {0};
        assert_ok(display_new(cases[i].fd, cases[i].enabled, cases[i].term, clock_manual(&us),
                              &display, &err),
                  &err);
        assert_false(display_active(display));
        display_show(display, &(struct display_state){.label = "a", .committed = "b"}, true);
        display_clear(display);
        display_free(&display);
        assert_int_equal(read_some(cases[i].from, got, sizeof(got)), 0);
    }
    close(ends[0]);
    close(ends[1]);
    close(slave);
    close(master);
}

static void widths_follow_the_script(void **state)
{
    (void)state;
    assert_int_equal(display_width("abc"), 3);
    assert_int_equal(display_width("日本"), 4);
    assert_int_equal(display_width("e\xCC\x81"), 1);
    assert_int_equal(display_width("\x1b\t"), 2);
    assert_int_equal(display_width(""), 0);
}

int main(void)
{
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(provisional_text_is_dim_and_replaced_in_place),
        cmocka_unit_test(long_audio_has_a_bar_with_speed_and_time_left),
        cmocka_unit_test(lines_break_at_blanks_and_the_last_ones_are_shown),
        cmocka_unit_test(control_characters_do_not_reach_the_terminal),
        cmocka_unit_test(a_narrowed_terminal_is_cleared_whole),
        cmocka_unit_test(any_text_on_any_terminal_leaves_no_trace),
        cmocka_unit_test(marks_without_width_do_not_overflow),
        cmocka_unit_test(a_tiny_terminal_shows_nothing),
        cmocka_unit_test(a_terminal_is_drawn_on_at_most_every_50_ms),
        cmocka_unit_test(elsewhere_nothing_is_written),
        cmocka_unit_test(widths_follow_the_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
