/* display_render.c: state -> bytes, without a terminal in sight.
 *
 * The cursor rests at the end of the last line that was drawn. So the old area is taken away by
 * going to its first column, up by its rows less one, and clearing to the end of the screen. A
 * terminal that became narrower has wrapped the old lines: their widths say into how many rows.
 *
 * Text is wrapped from its beginning each time, so lines do not move while text only grows, and
 * the last few lines are shown. One column at the right stays free, so the terminal itself never
 * wraps.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "output/characters.h"
#include "output/display.h"

enum {
    COLUMNS_MIN = 8,
    COLUMNS_MAX = 200,
    LINE_BYTES_MAX = 900,       /* a line of combining marks must end somewhere */
    TEXT_LINES_MAX = 5,
    BAR_MIN = 8,
    BAR_MAX = 40,
    LABEL_MAX = 30,
    LONG_AUDIO_S = 30,
    PARTS = 3
};

static const char face_dim[] = "\x1b[2m", face_normal[] = "\x1b[0m";
static const char wrap_off[] = "\x1b[?7l", wrap_on[] = "\x1b[?7h";

/* ---- bytes that are bounded ---- */

struct bytes {
    char *data;
    size_t n, max;
};

static void put(struct bytes *out, const char *data, size_t n)
{
    SA_ASSERT(out->n + n <= out->max);
    memcpy(out->data + out->n, data, n);
    out->n += n;
}

static void put_text(struct bytes *out, const char *text)
{
    put(out, text, strlen(text));
}

static uint32_t put_clean(struct bytes *out, const char *text, size_t n, uint32_t columns)
{
    uint32_t width = 0;
    size_t begin = out->n;
    for (size_t at = 0; at < n;) {
        struct character c = character_next(text + at, n - at);
        if (width + c.width > columns || out->n - begin > LINE_BYTES_MAX)
            break;
        char bytes[CHARACTER_BYTES_MAX];
        put(out, bytes, character_encode(c.code, bytes));
        at += c.n_bytes;
        width += c.width;
    }
    return width;
}

/* ---- text in three parts, wrapped ---- */

struct place {
    uint32_t part;                      /* 0 committed, 1 decided, 2 provisional, 3 the end */
    size_t at;
};

struct text {
    const char *part[PARTS];
    size_t n[PARTS];
};

static struct place begin_of(const struct text *text)
{
    struct place place = {0};
    while (place.part < PARTS && text->n[place.part] == 0)
        place.part++;
    return place;
}

static struct character character_at(const struct text *text, struct place place)
{
    return character_next(text->part[place.part] + place.at, text->n[place.part] - place.at);
}

static struct place advance(const struct text *text, struct place place, uint32_t n_bytes)
{
    place.at += n_bytes;
    while (place.part < PARTS && place.at >= text->n[place.part])
        place = (struct place){.part = place.part + 1};
    return place;
}

static bool at_end(struct place place)
{
    return place.part >= PARTS;
}

static bool same_place(struct place a, struct place b)
{
    return a.part == b.part && a.at == b.at;
}

/* Where the line that starts at `from` ends; the next one starts there after its leading blanks. A
 * break may come before a blank and on either side of a wide character, else anywhere. */
static struct place line_end(const struct text *text, struct place from, uint32_t columns)
{
    struct place at = from, good = from;
    uint32_t width = 0, n_bytes = 0, before = 1;
    while (!at_end(at)) {
        struct character c = character_at(text, at);
        bool can_break = c.code == ' ' || c.width == 2 || before == 2;
        if (can_break && !same_place(at, from))
            good = at;
        if (width + c.width > columns || n_bytes + CHARACTER_BYTES_MAX > LINE_BYTES_MAX)
            return same_place(good, from) ? at : good;
        width += c.width;
        n_bytes += CHARACTER_BYTES_MAX;
        before = c.width ? c.width : before;
        at = advance(text, at, c.n_bytes);
    }
    return at;
}

static struct place skip_blanks(const struct text *text, struct place at)
{
    while (!at_end(at) && character_at(text, at).code == ' ')
        at = advance(text, at, character_at(text, at).n_bytes);
    return at;
}

struct span {
    struct place from, to;
};

/* The last `max` lines of the text, in order; returns how many. */
static uint32_t wrap(const struct text *text, uint32_t columns, struct span *lines, uint32_t max)
{
    uint32_t n = 0;
    struct place at = skip_blanks(text, begin_of(text));
    while (!at_end(at)) {
        struct span line = {at, line_end(text, at, columns)};
        if (n == max)
            memmove(lines, lines + 1, (size_t)(--n) * sizeof(*lines));
        lines[n++] = line;
        at = skip_blanks(text, line.to);
    }
    return n;
}

static uint32_t draw_span(struct bytes *out, const struct text *text, struct span line)
{
    uint32_t width = 0;
    bool dim = false;
    for (struct place at = line.from; !same_place(at, line.to);) {
        struct character c = character_at(text, at);
        if (dim != (at.part == PARTS - 1)) {
            dim = !dim;
            put_text(out, face_dim);
        }
        char bytes[CHARACTER_BYTES_MAX];
        put(out, bytes, character_encode(c.code, bytes));
        width += c.width;
        at = advance(text, at, c.n_bytes);
    }
    if (dim)
        put_text(out, face_normal);
    return width;
}

/* ---- the line with the bar ---- */

/* 75 -> "1:15", 3675 -> "1:01:15" */
static void format_time(double seconds, char *text, size_t n)
{
    unsigned s = seconds > 0 && seconds < 1e8 ? (unsigned)lround(seconds) : 0;
    if (s >= 3600)
        snprintf(text, n, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, n, "%u:%02u", s / 60, s % 60);
}

/* "  4:10 / 9:58  12.4x  0:28 left" */
static void format_figures(const struct display_state *state, char *text, size_t n)
{
    char done[16], total[24] = "", rest[32] = "", speed[24] = "";
    format_time(state->audio_done_s, done, sizeof(done));
    double rate = state->elapsed_s > 0 ? state->audio_done_s / state->elapsed_s : 0;
    if (rate > 0 && rate < 1e5)
        snprintf(speed, sizeof(speed), "  %.1fx", rate);
    if (state->audio_total_s > 0) {
        char time[16];
        format_time(state->audio_total_s, time, sizeof(time));
        snprintf(total, sizeof(total), " / %s", time);
        format_time((state->audio_total_s - state->audio_done_s) / (rate > 0 ? rate : 1), time,
                    sizeof(time));
        if (rate > 0)
            snprintf(rest, sizeof(rest), "  %s left", time);
    }
    snprintf(text, n, "  %s%s%s%s", done, total, speed, rest);
}

static uint32_t draw_bar(struct bytes *out, const struct display_state *state, uint32_t columns)
{
    uint32_t cells = MIN(columns - 4, BAR_MAX); /* two blanks and two brackets */
    double share = MAX(0.0, MIN(state->audio_done_s / state->audio_total_s, 1.0));
    uint32_t full = (uint32_t)(share * cells);
    put_text(out, "  [");
    for (uint32_t i = 0; i < cells; i++)
        put(out, i < full ? "=" : i == full ? ">" : " ", 1);
    put_text(out, "]");
    return cells + 4;
}

static uint32_t draw_status(struct bytes *out, const struct display_state *state, uint32_t columns)
{
    const char *label = state->label ? state->label : "";
    char figures[128];
    bool is_long = state->audio_total_s == 0 || state->audio_total_s > LONG_AUDIO_S;
    if (!is_long)
        return put_clean(out, label, strlen(label), columns);
    format_figures(state, figures, sizeof(figures));
    uint32_t needed = (uint32_t)strlen(figures);
    uint32_t width = 0;
    if (columns > needed + 4)
        width = put_clean(out, label, strlen(label), MIN(columns - needed, LABEL_MAX));
    if (state->audio_total_s > 0 && columns >= width + needed + BAR_MIN + 4)
        width += draw_bar(out, state, columns - width - needed);
    return width + put_clean(out, figures, needed, columns - width);
}

/* ---- the whole area ---- */

static void erase(struct bytes *out, const struct display_screen *screen, uint32_t columns)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < screen->n_lines; i++)
        rows += MAX(1, (screen->widths[i] + columns - 1) / columns);
    if (rows == 0)
        return;
    char up[32] = "";
    if (rows > 1)
        snprintf(up, sizeof(up), "\x1b[%uA", rows - 1);
    put_text(out, "\r");
    put_text(out, up);
    put_text(out, "\x1b[J");
}

static struct text text_of(const struct display_state *state)
{
    struct text text = {.part = {state->committed, state->decided, state->provisional}};
    for (int i = 0; i < PARTS; i++)
        text.n[i] = text.part[i] ? strlen(text.part[i]) : 0;
    return text;
}

size_t display_render(struct display_screen *screen, struct display_size size,
                      const struct display_state *state, char *out, size_t max)
{
    struct bytes bytes = {.data = out, .max = max};
    SA_ASSERT(max >= DISPLAY_BYTES_MAX);
    erase(&bytes, screen, MAX(size.columns, 1));
    memset(screen, 0, sizeof(*screen));
    if (!state || size.columns < COLUMNS_MIN || size.rows < 2)
        return bytes.n;
    uint32_t columns = MIN(size.columns, COLUMNS_MAX) - 1;
    struct text text = text_of(state);
    struct span lines[TEXT_LINES_MAX];
    uint32_t n = wrap(&text, columns, lines, MIN(TEXT_LINES_MAX, size.rows - 1));
    put_text(&bytes, wrap_off);
    for (uint32_t i = 0; i < n; i++) {
        screen->widths[screen->n_lines++] = draw_span(&bytes, &text, lines[i]);
        put_text(&bytes, "\r\n");
    }
    screen->widths[screen->n_lines++] = draw_status(&bytes, state, columns);
    put_text(&bytes, wrap_on);
    return bytes.n;
}

uint32_t display_width(const char *text)
{
    size_t n = strlen(text);
    uint32_t width = 0;
    for (size_t at = 0; at < n;) {
        struct character c = character_next(text + at, n - at);
        at += c.n_bytes;
        width += c.width;
    }
    return width;
}
