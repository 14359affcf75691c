#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/import_int.h"

enum status json_parse(const struct folder *folder, const char *name, cJSON **out,
                       struct error *err)
{
    char *text = NULL;
    enum status st = folder_read_text(folder, name, IMPORT_TEXT_MAX, &text, err);
    if (st != STATUS_OK)
        return st;
    *out = cJSON_Parse(text);
    free(text);
    if (!*out)
        return error_set(err, STATUS_CORRUPT, "%s is not valid JSON", name);
    return STATUS_OK;
}

static bool whole_number(const cJSON *item, uint32_t *out)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= INT32_MAX) ||
        floor(item->valuedouble) != item->valuedouble)
        return false;
    *out = (uint32_t)item->valuedouble;
    return true;
}

enum status json_number(const cJSON *object, const char *key, uint32_t *out, struct error *err)
{
    if (!whole_number(cJSON_GetObjectItemCaseSensitive(object, key), out))
        return error_set(err, STATUS_CORRUPT, "'%s' is missing or no whole number", key);
    return STATUS_OK;
}

enum status json_ids(const cJSON *object, const char *key, int32_t *out, uint32_t max, uint32_t *n,
                     struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, key);
    uint32_t count = 0;
    *n = 0;
    if (!list || cJSON_IsNull(list))
        return STATUS_OK;
    if (!cJSON_IsArray(list))
        return error_set(err, STATUS_CORRUPT, "'%s' is not a list", key);
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        uint32_t id;
        if (count == max || !whole_number(item, &id))
            return error_set(err, STATUS_CORRUPT, "'%s' is not a list of at most %u token ids", key,
                             max);
        out[count++] = (int32_t)id;
    }
    *n = count;
    return STATUS_OK;
}

enum status json_alignment_heads(struct import *import, const cJSON *object, struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "alignment_heads");
    uint32_t n = 0;
    const cJSON *pair;
    cJSON_ArrayForEach(pair, list) {
        uint32_t *out = &import->alignment_heads[2 * n];
        if (n == IMPORT_HEADS_MAX || !whole_number(cJSON_GetArrayItem(pair, 0), &out[0]) ||
            !whole_number(cJSON_GetArrayItem(pair, 1), &out[1]))
            return error_set(err, STATUS_CORRUPT,
                             "'alignment_heads' is not a list of at most %d [layer, head]",
                             IMPORT_HEADS_MAX);
        n++;
    }
    import->source.n_alignment_heads = n;
    return STATUS_OK;
}
