/* random_model: a randomly initialised Whisper of a true shape, to test sizes whose weights are not
 * at hand. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/model_random.h"

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: random_model --like SIZE [--seed N] [--layers N] [--type f32|f16|q8_0|q4_0]\n"
    "                    OUTPUT.gguf\n"
    "\n"
    "Writes a model file with random weights in the shape of a published Whisper: the same file "
    "for the\n"
    "same options on every machine. For tests against an independent implementation, not for "
    "speech.\n"
    "\n"
    "  --like SIZE    tiny, tiny.en, base, ..., large-v3, large-v3-turbo, distil-large-v3, ...\n"
    "  --seed N       default 1\n"
    "  --layers N     at most N layers in encoder and decoder (a smaller file of the same widths)\n"
    "  --type TYPE    how matrices are stored; default f16\n";

struct options {
    const char *like;
    const char *output;
    uint64_t seed;
    uint32_t layers;
    enum tensor_type type;
};

static bool parse_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || value > max)
        return false;
    *out = value;
    return true;
}

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

static bool take_option(int option, const char *value, struct options *o)
{
    uint64_t number = 0;
    switch (option) {
    case 'k':
        o->like = value;
        return true;
    case 's':
        return parse_number(value, UINT64_MAX, &o->seed);
    case 'n':
        if (!parse_number(value, 256, &number) || number == 0)
            return false;
        o->layers = (uint32_t)number;
        return true;
    case 't':
        return parse_type(value, &o->type);
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"like", required_argument, NULL, 'k'},   {"seed", required_argument, NULL, 's'},
        {"layers", required_argument, NULL, 'n'}, {"type", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    struct options o = {.seed = 1, .layers = 256, .type = TENSOR_F16};
    struct model_description d;
    struct error err = {0};
    log_init("random_model", LOG_INFO);
    for (int c; (c = getopt_long(argc, argv, "h", longs, NULL)) != -1;) {
        if (c == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (!take_option(c, optarg, &o)) {
            log_line(LOG_ERROR, "wrong option or value; random_model --help explains");
            return EXIT_USAGE;
        }
    }
    if (!o.like || argc - optind != 1) {
        log_line(LOG_ERROR,
                 "--like SIZE and one OUTPUT.gguf are wanted; random_model --help explains");
        return EXIT_USAGE;
    }
    o.output = argv[optind];
    enum status st = model_shape_like(o.like, &d, &err);
    if (st == STATUS_OK) {
        d.encoder.n_layers = MIN(d.encoder.n_layers, o.layers);
        d.decoder.n_layers = MIN(d.decoder.n_layers, o.layers);
        st = model_write_random(o.output, &d, o.seed, o.type, &err);
    }
    if (st != STATUS_OK)
        log_line(LOG_ERROR, "%s", err.text);
    return st == STATUS_OK ? 0 : 1;
}
