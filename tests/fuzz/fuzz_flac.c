/* fuzz_flac.c: any bytes as a FLAC chunk of a peer; what is taken must survive our own coder. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audio/flac_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int16_t *samples = malloc(FLAC_SAMPLES_MAX * sizeof(*samples));
    int16_t *again = malloc(FLAC_SAMPLES_MAX * sizeof(*again));
    uint8_t *bytes = malloc(FLAC_BYTES_MAX);
    size_t n = 0, n_again = 0, n_bytes = 0;
    struct error err;
    SA_ASSERT(samples && again && bytes);
    if (flac_decode(data, size, samples, FLAC_SAMPLES_MAX, &n, &err) == STATUS_OK) {
        SA_ASSERT(n >= 1 && n <= FLAC_SAMPLES_MAX);
        SA_ASSERT(flac_encode(samples, n, bytes, &n_bytes, &err) == STATUS_OK);
        SA_ASSERT(flac_decode(bytes, n_bytes, again, n, &n_again, &err) == STATUS_OK);
        SA_ASSERT(n_again == n && memcmp(samples, again, n * sizeof(*samples)) == 0);
    } else {
        SA_ASSERT(n == 0);
    }
    free(samples);
    free(again);
    free(bytes);
    return 0;
}
