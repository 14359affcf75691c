/* results.c: the written forms. Each writer turns one result into bytes on a stream;
 * result_write looks at the stream's error state once, at the end. */
#include "output/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "output/characters.h"

const char *const result_format_names[RESULT_FORMAT_N + 1] = {"text", "json", "srt",
                                                              "vtt",  "tsv",  NULL};

/* ---- JSON ---- */

/* Three decimals are a microsecond of a millisecond figure: more would be noise. */
static double rounded(double value)
{
    return isfinite(value) ? round(value * 1000.0) / 1000.0 : 0.0;
}

static bool add_text(cJSON *object, const char *name, const char *text)
{
    char *clean = characters_clean(text ? text : "", true);
    bool good = clean && cJSON_AddStringToObject(object, name, clean);
    free(clean);
    return good;
}

static bool add_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

static bool add_tokens(cJSON *object, const struct result *result)
{
    cJSON *tokens = cJSON_AddArrayToObject(object, "tokens");
    for (uint32_t i = 0; tokens && i < result->n_tokens; i++) {
        cJSON *token = cJSON_CreateNumber(result->tokens[i]);
        if (!cJSON_AddItemToArray(tokens, token)) {
            cJSON_Delete(token);
            return false;
        }
    }
    return tokens != NULL;
}

static bool add_segments(cJSON *object, const struct result *result)
{
    cJSON *segments = cJSON_AddArrayToObject(object, "segments");
    for (uint32_t i = 0; segments && i < result->n_segments; i++) {
        const struct result_segment *segment = &result->segments[i];
        cJSON *one = cJSON_CreateObject();
        if (!cJSON_AddItemToArray(segments, one)) {
            cJSON_Delete(one);
            return false;
        }
        if (!add_number(one, "start_s", rounded(segment->start_s)) ||
            !add_number(one, "end_s", rounded(segment->end_s)) ||
            !add_text(one, "text", segment->text))
            return false;
    }
    return segments != NULL;
}

static bool add_stats(cJSON *object, const struct result_stats *stats)
{
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"audio_s", rounded(stats->audio_s)},
        {"tokens", (double)stats->tokens},
        {"passes", (double)stats->passes},
        {"rounds", (double)stats->rounds},
        {"rows", (double)stats->rows},
        {"draft_steps", (double)stats->draft_steps},
        {"draft_rows", (double)stats->draft_rows},
        {"branch_steps", (double)stats->branch_steps},
        {"recycled", (double)stats->recycled},
        {"target_encode_ms", rounded(stats->target_encode_ms)},
        {"target_decode_ms", rounded(stats->target_decode_ms)},
        {"draft_encode_ms", rounded(stats->draft_encode_ms)},
        {"draft_decode_ms", rounded(stats->draft_decode_ms)},
        {"total_ms", rounded(stats->total_ms)},
        {"resumes", stats->resumes},
        {"resumed_differently", stats->resumed_differently},
    };
    cJSON *all = cJSON_AddObjectToObject(object, "stats");
    bool good = all != NULL;
    for (size_t i = 0; good && i < ARRAY_LEN(numbers); i++)
        good = add_number(all, numbers[i].name, numbers[i].value);
    cJSON *targets = good ? cJSON_AddArrayToObject(all, "targets") : NULL;
    for (uint32_t i = 0; targets && i < stats->n_targets; i++) {
        cJSON *target = cJSON_CreateString(stats->targets[i]);
        if (!cJSON_AddItemToArray(targets, target)) {
            cJSON_Delete(target);
            return false;
        }
    }
    return targets != NULL;
}

static enum status write_json(FILE *out, const struct result *result, struct error *err)
{
    cJSON *object = cJSON_CreateObject();
    bool good = object && add_text(object, "file", result->file) &&
                add_text(object, "language", result->language) &&
                add_text(object, "text", result->text) && add_tokens(object, result) &&
                add_segments(object, result) && add_stats(object, &result->stats);
    char *line = good ? cJSON_PrintUnformatted(object) : NULL;
    if (line)
        fprintf(out, "%s\n", line);
    cJSON_free(line);
    cJSON_Delete(object);
    if (!line)
        return error_set(err, STATUS_NO_MEMORY, "out of memory for the JSON of a file");
    return STATUS_OK;
}

/* ---- lines and cues ---- */

enum escape { ESCAPE_NONE, ESCAPE_ARROW, ESCAPE_VTT };

/* The text in one line, without blanks at its ends. An arrow in a cue would end its header line. */
static void write_line(FILE *out, const char *text, enum escape escape)
{
    size_t n = strlen(text), n_blanks = 0, n_shown = 0;
    for (size_t at = 0; at < n;) {
        struct character c = character_next(text + at, n - at);
        bool arrow = escape == ESCAPE_ARROW && strncmp(text + at, "-->", 3) == 0;
        at += c.n_bytes;
        if (c.code == ' ') {
            n_blanks++;
            continue;
        }
        if (arrow)
            continue; /* "-->" becomes "->" */
        for (; n_blanks; n_blanks--)
            if (n_shown)
                fputc(' ', out);
        char bytes[CHARACTER_BYTES_MAX];
        if (escape == ESCAPE_VTT && (c.code == '&' || c.code == '<' || c.code == '>'))
            fputs(c.code == '&' ? "&amp;" : c.code == '<' ? "&lt;" : "&gt;", out);
        else
            fwrite(bytes, 1, character_encode(c.code, bytes), out);
        n_shown++;
    }
}

static bool is_blank(const char *text)
{
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        struct character c = character_next(text + at, n - at);
        if (c.code != ' ')
            return false;
        at += c.n_bytes;
    }
    return true;
}

/* Whole milliseconds; a time is never negative. */
static uint64_t milliseconds(double seconds)
{
    return seconds > 0 && seconds < 1e9 ? (uint64_t)llround(seconds * 1000.0) : 0;
}

static void write_time(FILE *out, uint64_t ms, char point)
{
    fprintf(out, "%02u:%02u:%02u%c%03u", (unsigned)(ms / 3600000), (unsigned)(ms / 60000 % 60),
            (unsigned)(ms / 1000 % 60), point, (unsigned)(ms % 1000));
}

static void write_cue(FILE *out, enum result_format format, uint32_t number,
                      const struct result_segment *segment)
{
    uint64_t start = milliseconds(segment->start_s);
    uint64_t end = MAX(start, milliseconds(segment->end_s));
    if (format == RESULT_TSV) {
        fprintf(out, "%llu\t%llu\t", (unsigned long long)start, (unsigned long long)end);
        write_line(out, segment->text, ESCAPE_NONE);
        fputc('\n', out);
        return;
    }
    char point = format == RESULT_SRT ? ',' : '.';
    if (format == RESULT_SRT)
        fprintf(out, "%u\n", number);
    write_time(out, start, point);
    fputs(" --> ", out);
    write_time(out, end, point);
    fputc('\n', out);
    write_line(out, segment->text, format == RESULT_VTT ? ESCAPE_VTT : ESCAPE_ARROW);
    fputs("\n\n", out);
}

static void write_cues(FILE *out, enum result_format format, const struct result *result)
{
    struct result_segment whole = {0, result->stats.audio_s, result->text ? result->text : ""};
    const struct result_segment *segments = result->n_segments ? result->segments : &whole;
    uint32_t n = result->n_segments ? result->n_segments : 1;
    uint32_t number = 0;
    if (format == RESULT_VTT)
        fputs("WEBVTT\n\n", out);
    if (format == RESULT_TSV)
        fputs("start\tend\ttext\n", out);
    for (uint32_t i = 0; i < n; i++)
        if (!is_blank(segments[i].text))
            write_cue(out, format, ++number, &segments[i]);
}

enum status result_write(struct result_writer *writer, const struct result *result,
                         struct error *err)
{
    enum status status = STATUS_OK;
    bool cues = writer->format != RESULT_TEXT && writer->format != RESULT_JSON;
    if (writer->format == RESULT_JSON) {
        status = write_json(writer->out, result, err);
    } else if (cues) {
        if (writer->n_written && writer->format == RESULT_TSV)
            fputc('\n', writer->out);
        write_cues(writer->out, writer->format, result);
    } else {
        write_line(writer->out, result->text ? result->text : "", ESCAPE_NONE);
        fputc('\n', writer->out);
    }
    if (status != STATUS_OK)
        return status;
    if (fflush(writer->out) != 0 || ferror(writer->out))
        return error_set(err, STATUS_IO, "cannot write the result: %m");
    writer->n_written++;
    return STATUS_OK;
}

void result_stats_add_target(struct result_stats *stats, const char *address)
{
    for (uint32_t i = 0; i < stats->n_targets; i++)
        if (strcmp(stats->targets[i], address) == 0)
            return;
    if (stats->n_targets < RESULT_TARGETS_MAX)
        stats->n_targets++;
    snprintf(stats->targets[stats->n_targets - 1], RESULT_ADDRESS_MAX, "%s", address);
}
