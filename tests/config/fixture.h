/* fixture.h: a program with one option of each type, for the tests of lib/config. */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <string.h>

#include "../support/support.h"
#include "config/options.h"
#include "config/options_int.h"

struct values {
    bool timestamps, verbose;
    int64_t threads;
    double price;
    const char *name, *model;
    int format;
    struct option_address listen;
    struct option_addresses targets;
    uint64_t cache;
    double deadline;
};

static const char *const formats[] = {"text", "json", "srt", NULL};

static const struct option table[] = {
    {.name = "threads", .short_name = 't', .type = OPTION_INT, .min = 1, .max = 256,
     .initial = "2", .offset = offsetof(struct values, threads), .group = "Speed",
     .help = "Threads that the decoder uses."},
    {.name = "row-price", .type = OPTION_FLOAT, .min = -1, .max = 100, .initial = "-1",
     .offset = offsetof(struct values, price), .reloads = true, .group = "Speed",
     .help = "Price of a row."},
    {.name = "timestamps", .type = OPTION_BOOL, .initial = "yes",
     .offset = offsetof(struct values, timestamps), .group = "Text", .help = "Times in the text."},
    {.name = "verbose", .short_name = 'v', .type = OPTION_BOOL,
     .offset = offsetof(struct values, verbose), .reloads = true, .group = "Text",
     .help = "Say more."},
    {.name = "name", .short_name = 'n', .type = OPTION_STRING,
     .offset = offsetof(struct values, name), .group = "Text", .help = "A name."},
    {.name = "model", .short_name = 'm', .type = OPTION_PATH,
     .offset = offsetof(struct values, model), .group = "Text", .help = "A file."},
    {.name = "format", .type = OPTION_CHOICE, .choices = formats, .initial = "text",
     .offset = offsetof(struct values, format), .group = "Text",
     .help = "Form of the output."},
    {.name = "listen", .type = OPTION_ADDRESS, .offset = offsetof(struct values, listen),
     .group = "Network", .help = "Where to listen; port 0 takes a free one."},
    {.name = "target", .type = OPTION_ADDRESSES, .min = 1,
     .offset = offsetof(struct values, targets), .group = "Network", .help = "Targets."},
    {.name = "cache", .type = OPTION_SIZE, .min = 1024, .max = 1e12, .initial = "64M",
     .offset = offsetof(struct values, cache), .reloads = true, .group = "Network",
     .help = "Cache."},
    {.name = "deadline", .type = OPTION_DURATION, .min = 0.001, .max = 3600, .initial = "5s",
     .offset = offsetof(struct values, deadline), .reloads = true, .group = "Speed",
     .help = "Deadline."},
};

static const struct option_program program = {
    .name = "probe",
    .version = "1.2.3",
    .usage = "[options] FILE...",
    .about = "Says what options do.\n\nA second paragraph that is long enough to be wrapped at the "
             "right margin of a terminal, whatever its width may be.",
    .examples = "probe --threads 4 a.flac\nprobe -",
    .options = table,
    .n_options = ARRAY_LEN(table),
    .positional_max = 3,
};

#endif
