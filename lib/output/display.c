/* display.c: the live area on a real terminal. Locks are taken in the order log, display. */
#include "output/display.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"

enum { REDRAW_US = 50 * 1000 };

struct display {
    int fd;
    bool active;
    struct clock clock;
    pthread_mutex_t lock;               /* guards what follows */
    uint64_t drawn_us;                  /* time of the last drawing; 0: none yet */
    struct display_screen screen;
    char bytes[DISPLAY_BYTES_MAX];
};

static void clear_before_log(void *context)
{
    display_clear(context);
}

enum status display_new(int fd, bool enabled, const char *term, struct clock clock,
                        struct display **out, struct error *err)
{
    struct display *display = calloc(1, sizeof(*display));
    if (!display)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the terminal display");
    display->fd = fd;
    display->clock = clock;
    display->active = enabled && isatty(fd) && !(term && strcmp(term, "dumb") == 0);
    pthread_mutex_init(&display->lock, NULL);
    if (display->active)
        log_set_before(clear_before_log, display);
    *out = display;
    return STATUS_OK;
}

void display_free(struct display **display)
{
    struct display *d = display ? *display : NULL;
    if (!d)
        return;
    if (d->active)
        log_set_before(NULL, NULL);
    display_clear(d);
    pthread_mutex_destroy(&d->lock);
    free(d);
    *display = NULL;
}

bool display_active(const struct display *display)
{
    return display->active;
}

/* A terminal that does not take the bytes is not worth an error: the results do not go there. */
static void write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, data, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        n -= (size_t)written;
    }
}

static void draw(struct display *display, const struct display_state *state)
{
    struct winsize window = {0};
    struct display_size size = {.columns = 80, .rows = 24};
    if (ioctl(display->fd, TIOCGWINSZ, &window) == 0 && window.ws_col && window.ws_row)
        size = (struct display_size){.columns = window.ws_col, .rows = window.ws_row};
    size_t n = display_render(&display->screen, size, state, display->bytes,
                              sizeof(display->bytes));
    write_all(display->fd, display->bytes, n);
}

void display_show(struct display *display, const struct display_state *state, bool now)
{
    if (!display->active)
        return;
    pthread_mutex_lock(&display->lock);
    uint64_t time = clock_us(&display->clock);
    if (now || !display->drawn_us || time - display->drawn_us >= REDRAW_US) {
        draw(display, state);
        display->drawn_us = MAX(time, 1);
    }
    pthread_mutex_unlock(&display->lock);
}

void display_clear(struct display *display)
{
    if (!display->active)
        return;
    pthread_mutex_lock(&display->lock);
    if (display->screen.n_lines)
        draw(display, NULL);
    pthread_mutex_unlock(&display->lock);
}
