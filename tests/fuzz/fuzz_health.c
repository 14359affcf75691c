/* Any bytes as a health message: refused, or read as what comes back when it is made again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char asked[WIRE_HEALTH_SERVICE_MAX + 1], again[WIRE_HEALTH_SERVICE_MAX + 1];
    enum wire_health state;
    struct wire_bytes bytes;
    struct error err;
    if (wire_health_asked(data, size, asked, &err) == STATUS_OK) {
        SA_ASSERT(wire_health_ask(asked, &bytes, &err) == STATUS_OK);
        SA_ASSERT(wire_health_asked(bytes.data, bytes.size, again, &err) == STATUS_OK);
        SA_ASSERT(strcmp(asked, again) == 0);
        wire_bytes_release(&bytes);
    }
    enum status rc = wire_health_read(data, size, &state, &err);
    SA_ASSERT(state < WIRE_HEALTH_N && (rc == STATUS_OK || state == WIRE_HEALTH_UNKNOWN));
    return 0;
}
