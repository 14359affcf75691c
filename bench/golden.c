/* golden.c: greedy decoding by the CPU backend against reference tokens: golden MODEL
 * REFERENCE.jsonl SPEECH [max]
 *
 * REFERENCE has one utterance per line with "id", "set", "lang", "tokens" and "min_gap" (smallest
 * top-2 gap of the reference); its audio is SPEECH/set/id.flac. A name with "timestamps" in it was
 * made in timestamp mode. Exit code 1 when an utterance differs whose smallest gap exceeds 1e-2.
 * Prints milliseconds too.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/audio_file.h"
#include "audio/mel.h"
#include "backend/cpu/cpu.h"

enum { TOKENS_MAX = 224, LINE_BYTES = 1 << 16 };

struct golden {
    struct backend *backend;
    struct sequence *sequence;
    struct rules rules;
    struct mel *mel;
    float *features;
    double encode_ms, decode_ms;
    uint32_t n_steps, n_equal, n_near, n_wrong;
    float least_gap;
};

static void die(const struct error *err)
{
    fprintf(stderr, "golden: %s\n", err->text);
    exit(2);
}

static uint32_t make_prompt(const struct golden *g, const char *language, int32_t *prompt)
{
    const struct model_description *m = g->backend->model;
    uint32_t n = 0;
    prompt[n++] = m->special.start;
    for (uint32_t i = 0; m->multilingual && i < m->n_languages; i++)
        if (strcmp(m->languages[i], language) == 0)
            prompt[n++] = m->special.language_begin + (int32_t)i;
    if (m->multilingual)
        prompt[n++] = m->special.transcribe;
    if (!g->rules.timestamps)
        prompt[n++] = m->special.no_timestamps;
    return n;
}

static void encode(struct golden *g, const char *path)
{
    struct error err = {.code = STATUS_OK};
    struct clock clock = clock_monotonic();
    int16_t *samples;
    size_t n_samples;
    bool done;
    if (audio_file_load(path, MEL_WINDOW_SAMPLES, &samples, &n_samples, NULL, &err) != STATUS_OK)
        die(&err);
    mel_compute(g->mel, samples, n_samples, MEL_WINDOW_FRAMES, g->features);
    free(samples);
    uint64_t start = clock_us(&clock);
    const struct backend_features features = {.mel = g->features, .n_frames = MEL_WINDOW_FRAMES,
                                              .n_mels = g->backend->model->n_mels};
    if (backend_encode(g->sequence, &features, UINT64_MAX, &done, &err) != STATUS_OK)
        die(&err);
    g->encode_ms += (double)(clock_us(&clock) - start) / 1000.0;
}

/* Prompt and first choice in one pass, then token after token. Returns the number of tokens. */
static uint32_t decode(struct golden *g, const char *language, int32_t *tokens)
{
    struct error err = {.code = STATUS_OK};
    struct clock clock = clock_monotonic();
    struct backend_row rows[8];
    struct rules_choice choice;
    struct rules_state state = rules_begin();
    int32_t prompt[8];
    uint32_t n_prompt = make_prompt(g, language, prompt), n = 0, n_rows = n_prompt;
    uint64_t start = clock_us(&clock);
    g->least_gap = 1e9f;
    for (uint32_t i = 0; i < n_prompt; i++)
        rows[i] = (struct backend_row){.sequence = g->sequence, .token = prompt[i],
                                       .parent = (int32_t)i - 1};
    while (n < TOKENS_MAX) {
        const uint8_t kept[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        rows[n_rows - 1].rules = &g->rules;
        rows[n_rows - 1].state = state;
        rows[n_rows - 1].choice = &choice;
        if (backend_forward(g->backend, rows, n_rows, &err) != STATUS_OK)
            die(&err);
        backend_keep(g->sequence, sequence_kept(g->sequence), kept, n_rows);
        tokens[n++] = choice.token;
        g->n_steps++;
        g->least_gap = MIN(g->least_gap, choice.gap);
        if (choice.token == g->backend->model->special.end)
            break;
        state = rules_advance(&g->rules, state, choice.token);
        rows[0] =
            (struct backend_row){.sequence = g->sequence, .token = choice.token, .parent = -1};
        n_rows = 1;
    }
    g->decode_ms += (double)(clock_us(&clock) - start) / 1000.0;
    return n;
}

static void check(struct golden *g, const cJSON *line, const char *speech)
{
    const cJSON *want = cJSON_GetObjectItem(line, "tokens");
    const char *id = cJSON_GetObjectItem(line, "id")->valuestring;
    double gap = cJSON_GetObjectItem(line, "min_gap")->valuedouble;
    int32_t tokens[TOKENS_MAX];
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s/%s.flac", speech,
             cJSON_GetObjectItem(line, "set")->valuestring, id);
    encode(g, path);
    uint32_t n = decode(g, cJSON_GetObjectItem(line, "lang")->valuestring, tokens);
    uint32_t n_want = (uint32_t)cJSON_GetArraySize(want), same = 0;
    while (same < n && same < n_want &&
           tokens[same] == cJSON_GetArrayItem(want, (int)same)->valueint)
        same++;
    if (same == n && same == n_want) {
        g->n_equal++;
        return;
    }
    *(gap > 1e-2 ? &g->n_wrong : &g->n_near) += 1;
    printf("%s: differs at token %u of %u; smallest gap of the reference %.5f, here %.5f\n", id,
           same, n_want, gap, (double)g->least_gap);
}

static void open_all(struct golden *g, const char *path, bool timestamps)
{
    struct error err = {.code = STATUS_OK};
    struct model *model;
    struct rules_masks *masks;
    if (model_open(path, &model, &err) != STATUS_OK ||
        cpu_backend_new(model, NULL, &g->backend, &err) != STATUS_OK ||
        backend_open(g->backend, &g->sequence, &err) != STATUS_OK ||
        rules_masks_new(g->backend->model, &masks, &err) != STATUS_OK ||
        mel_new(g->backend->model->n_mels, &g->mel, &err) != STATUS_OK)
        die(&err);
    g->rules = rules_default(g->backend->model, masks);
    g->rules.timestamps = timestamps;
    g->rules.max_initial_timestamp = 50;
    g->features = calloc((size_t)g->backend->model->n_mels * MEL_WINDOW_FRAMES, sizeof(float));
}

int main(int argc, char **argv)
{
    static char line[LINE_BYTES];
    struct golden g = {.n_steps = 0};
    if (argc < 4) {
        fprintf(stderr, "usage: golden MODEL REFERENCE.jsonl SPEECH [max]\n");
        return 2;
    }
    open_all(&g, argv[1], strstr(argv[2], "timestamps") != NULL);
    uint32_t max = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : UINT32_MAX, n = 0;
    FILE *file = fopen(argv[2], "r");
    for (; file && n < max && fgets(line, sizeof(line), file); n++) {
        cJSON *json = cJSON_Parse(line);
        if (json)
            check(&g, json, argv[3]);
        cJSON_Delete(json);
    }
    if (n == 0) {
        fprintf(stderr, "golden: nothing to read in %s\n", argv[2]);
        return 2;
    }
    fclose(file);
    printf("%u utterances: %u equal, %u differ at a near-tie, %u wrong; encode %.1f ms a window, "
           "%.3f ms "
           "a token\n",
           n, g.n_equal, g.n_near, g.n_wrong, g.encode_ms / n, g.decode_ms / g.n_steps);
    return g.n_wrong > 0;
}
