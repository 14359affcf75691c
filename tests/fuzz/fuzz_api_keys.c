/* Files of API keys: what is accepted can be used, and what is refused changes nothing. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "auth/api_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void use(struct api_keys *keys, const struct api_usage *usage)
{
    struct api_client client;
    require(api_keys_find_name(keys, usage->name, &client, NULL) == STATUS_OK);
    if (api_keys_open(keys, client, 0, NULL) == STATUS_OK)
        api_keys_close(keys, client);
    else
        require(usage->sessions_limited || usage->audio_limited);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct api_usage usage[API_KEYS_MAX];
    struct api_keys *keys;
    require(api_keys_new(&keys, NULL) == STATUS_OK);
    bool taken = api_keys_parse(keys, (const char *)data, size, NULL) == STATUS_OK;
    size_t n = api_keys_usage(keys, 0, usage, API_KEYS_MAX);
    require(taken || n == 0);
    for (size_t i = 0; i < n; i++)
        use(keys, &usage[i]);
    require(!taken || api_keys_parse(keys, (const char *)data, size, NULL) == STATUS_OK);
    require(api_keys_usage(keys, 0, usage, API_KEYS_MAX) == n);
    api_keys_free(&keys);
    return 0;
}
