/* Any bytes as a health request or response: refused or answered. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/health.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_bytes bytes;
    struct error err;
    bool serving;
    if (wire_health_answer(data, size, "specasr.v1.Verify", true, &bytes, &err) == STATUS_OK) {
        SA_ASSERT(wire_health_read(bytes.data, bytes.size, &serving, &err) == STATUS_OK);
        SA_ASSERT(serving);
        wire_bytes_release(&bytes);
    }
    if (wire_health_read(data, size, &serving, &err) != STATUS_OK)
        SA_ASSERT(!serving);
    return 0;
}
