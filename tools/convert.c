/* convert: other programs' Whisper weights to a model file (GGUF) of ours. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "model/import.h"
#include "model/model_write.h"

enum { EXIT_USAGE = 2, SLOW_US = 2000000, REDRAW_US = 100000 };

static const char help[] =
    "usage: convert INPUT OUTPUT.gguf [--type f32|f16|q8_0|q4_0] [--name NAME]\n"
    "       convert --check MODEL.gguf\n"
    "\n"
    "Converts a Whisper model of any size to the GGUF file that target_node and draft_node read.\n"
    "INPUT is one of\n"
    "  a CTranslate2 folder    model.bin (or model.bin.part1, .part2), config.json, "
    "vocabulary.txt\n"
    "  a Hugging Face folder   model.safetensors (or shards), config.json, vocab.json\n"
    "  a whisper.cpp file      ggml-base.bin and the like\n"
    "\n"
    "  --type TYPE   how matrices are stored: f16 (default: what the published weights are),\n"
    "                q8_0 (half the size, 8 bits in blocks of 32), q4_0 (the decoder in 4 bits,\n"
    "                the rest in q8_0: for drafts, or where memory is scarce), f32 (for checks)\n"
    "  --name NAME   the model's name in the file; default: guessed from its shape (whisper-base)\n"
    "  --quiet       no progress and no closing line\n"
    "  --check       read a model file whole: exit 0 when it is sound and of this converter's "
    "version\n"
    "  --help, --version\n"
    "\n"
    "Examples\n"
    "  convert faster-whisper-base/ whisper-base.gguf\n"
    "  convert whisper-large-v3/ whisper-large-v3-q8_0.gguf --type q8_0\n"
    "\n"
    "The file appears under its name only when it is whole. Exit status: 0 done, 1 failed, 2 wrong "
    "usage.\n";

struct options {
    const char *input;
    const char *output;
    const char *name;
    enum tensor_type type;
    bool quiet;
    bool check;
};

struct progress {
    struct clock clock;
    uint64_t started_us;
    uint64_t drawn_us;
    bool shown;
};

static bool parse_type(const char *text, enum tensor_type *out)
{
    static const char *const names[] = {"f32", "f16", "q8_0", "q4_0"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum tensor_type)i;
            return true;
        }
    return false;
}

/* Returns an exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"type", required_argument, NULL, 't'},
        {"name", required_argument, NULL, 'n'},
        {"quiet", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {"check", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "t:n:qh", longs, NULL)) != -1;) {
        switch (c) {
        case 't':
            if (parse_type(optarg, &o->type))
                break;
            log_line(LOG_ERROR, "--type %s: there are f32, f16, q8_0 and q4_0", optarg);
            return EXIT_USAGE;
        case 'n':
            o->name = optarg;
            break;
        case 'q':
            o->quiet = true;
            break;
        case 'c':
            o->check = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        case 'v':
            printf("convert, format %d\n", MODEL_CONVERTER_VERSION);
            return 0;
        default:
            fputs("convert --help explains the options\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (argc - optind != (o->check ? 1 : 2)) {
        log_line(LOG_ERROR, "one INPUT and one OUTPUT.gguf are wanted; convert --help explains");
        return EXIT_USAGE;
    }
    o->input = argv[optind];
    o->output = o->check ? NULL : argv[optind + 1];
    return -1;
}

static void show(void *context, uint64_t done, uint64_t total)
{
    struct progress *p = context;
    uint64_t now = clock_us(&p->clock);
    if (now - p->started_us < SLOW_US || (now - p->drawn_us < REDRAW_US && done < total))
        return;
    char bar[31];
    size_t filled = (size_t)(done * (sizeof(bar) - 1) / MAX(total, 1));
    memset(bar, '.', sizeof(bar) - 1);
    memset(bar, '#', filled);
    bar[sizeof(bar) - 1] = '\0';
    fprintf(stderr, "\r[%s] %3u%% of %.0f MB", bar, (unsigned)(done * 100 / MAX(total, 1)),
            (double)total / 1e6);
    p->drawn_us = now;
    p->shown = true;
}

static enum status convert(const struct options *o, struct progress *progress, struct error *err)
{
    struct import *import = NULL;
    enum status st = import_open(o->input, &import, err);
    if (st != STATUS_OK)
        return st;
    struct model_source *source = import_source(import);
    if (o->name)
        snprintf(source->description.name, sizeof(source->description.name), "%s", o->name);
    if (!o->quiet && isatty(STDERR_FILENO)) {
        source->progress = show;
        source->progress_context = progress;
    }
    st = model_write(o->output, source, o->type, err);
    if (progress->shown)
        fputc('\n', stderr);
    struct stat info;
    if (st == STATUS_OK && !o->quiet && stat(o->output, &info) == 0)
        printf("%s: %s from %s, %s, %.1f MB\n", o->output, source->description.name,
               import_kind(import), (const char *[]){"f32", "f16", "q8_0", "q4_0"}[o->type],
               (double)info.st_size / 1e6);
    import_close(&import);
    return st;
}

static enum status check(const struct options *o, struct error *err)
{
    struct model *model = NULL;
    enum status st = model_open(o->input, &model, err);
    if (st != STATUS_OK)
        return st;
    uint32_t version = model_converter_version(model);
    st = model_verify(model, err);
    if (st == STATUS_OK && version != MODEL_CONVERTER_VERSION)
        st = error_set(err, STATUS_MISMATCH,
                       "%s was written by converter version %u, this is %d: convert it again",
                       o->input, version, MODEL_CONVERTER_VERSION);
    if (st == STATUS_OK && !o->quiet)
        printf("%s: %s, sound\n", o->input, model_describe(model)->name);
    model_close(&model);
    return st;
}

int main(int argc, char **argv)
{
    struct options options = {.type = TENSOR_F16};
    struct progress progress = {.clock = clock_monotonic()};
    struct error err = {0};
    log_init("convert", LOG_INFO);
    int usage = parse(argc, argv, &options);
    if (usage >= 0)
        return usage;
    progress.started_us = clock_us(&progress.clock);
    enum status st = options.check ? check(&options, &err) : convert(&options, &progress, &err);
    if (st == STATUS_OK)
        return 0;
    log_line(LOG_ERROR, "%s", err.text);
    return 1;
}
