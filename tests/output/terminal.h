/* terminal.h: a terminal in memory that understands what the display writes, and refuses the
 * rest. Its character widths come from the C library, not from the library that the display
 * uses. */
#ifndef TESTS_OUTPUT_TERMINAL_H
#define TESTS_OUTPUT_TERMINAL_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "../support/support.h"

enum { TERMINAL_ROWS = 40, TERMINAL_COLUMNS = 240 };

struct cell {
    wchar_t code;                       /* 0: empty, or the right half of a wide character */
    bool dim;
};

struct terminal {
    int columns, rows, row, column;
    bool dim, wrapping;
    int n_wraps;                        /* lines that the terminal had to wrap by itself */
    struct cell cells[TERMINAL_ROWS][TERMINAL_COLUMNS];
};

static void terminal_reset(struct terminal *t, int columns, int rows)
{
    memset(t, 0, sizeof(*t));
    t->columns = columns;
    t->rows = rows;
    t->wrapping = true;
}

static void terminal_newline(struct terminal *t)
{
    if (t->row + 1 < t->rows) {
        t->row++;
        return;
    }
    memmove(t->cells[0], t->cells[1], sizeof(t->cells[0]) * (size_t)(t->rows - 1));
    memset(t->cells[t->rows - 1], 0, sizeof(t->cells[0]));
}

static void terminal_put(struct terminal *t, wchar_t code)
{
    int width = wcwidth(code);
    assert_true(width >= 0);
    if (width == 0)
        return;
    if (t->column + width > t->columns) {
        t->n_wraps++;
        assert_true(t->wrapping);
        t->column = 0;
        terminal_newline(t);
    }
    t->cells[t->row][t->column] = (struct cell){code, t->dim};
    if (width == 2)
        t->cells[t->row][t->column + 1] = (struct cell){0, t->dim};
    t->column += width;
}

static void terminal_clear_below(struct terminal *t)
{
    for (int c = t->column; c < TERMINAL_COLUMNS; c++)
        t->cells[t->row][c] = (struct cell){0};
    for (int r = t->row + 1; r < TERMINAL_ROWS; r++)
        memset(t->cells[r], 0, sizeof(t->cells[r]));
}

/* `s` is behind ESC; returns what follows the sequence. */
static const char *terminal_escape(struct terminal *t, const char *s)
{
    assert_int_equal(*s, '[');
    bool is_mode = s[1] == '?';
    char *end = NULL;
    long n = strtol(s + 1 + is_mode, &end, 10);
    char verb = *end;
    if (is_mode) {
        assert_true(n == 7 && (verb == 'l' || verb == 'h'));
        t->wrapping = verb == 'h';
    } else if (verb == 'A') {
        assert_true(n >= 1 && t->row - n >= 0);
        t->row -= (int)n;
    } else if (verb == 'J') {
        terminal_clear_below(t);
    } else {
        assert_true(verb == 'm' && (n == 0 || n == 2));
        t->dim = n == 2;
    }
    return end + 1;
}

static void terminal_write(struct terminal *t, const char *s, size_t n)
{
    const char *end = s + n;
    while (s < end) {
        wchar_t code = 0;
        if (*s == '\r' || *s == '\n') {
            if (*s == '\r')
                t->column = 0;
            else
                terminal_newline(t);
            s++;
        } else if (*s == '\x1b') {
            s = terminal_escape(t, s + 1);
        } else {
            mbstate_t state = {0};
            size_t used = mbrtowc(&code, s, (size_t)(end - s), &state);
            assert_true(used > 0 && used <= 4);
            terminal_put(t, code);
            s += used;
        }
    }
}

/* The text of a row without blanks at its end, as UTF-8; rotating static buffers. */
static const char *terminal_row(const struct terminal *t, int row)
{
    static char texts[8][TERMINAL_COLUMNS * 4 + 1];
    static unsigned next;
    char *text = texts[next++ % 8];
    size_t used = 0, kept = 0;
    for (int c = 0; c < t->columns; c++) {
        wchar_t code = t->cells[row][c].code;
        if (code == 0 && c > 0 && wcwidth(t->cells[row][c - 1].code) == 2)
            continue;
        used += (size_t)wctomb(text + used, code ? code : L' ');
        if (code && code != L' ')
            kept = used;
    }
    text[kept] = '\0';
    return text;
}

#endif
