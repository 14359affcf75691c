/* The messages of the coordinator. The first byte is the kind. What is accepted must pack, and the
 * packed bytes must be stable. */
#include <stdlib.h>
#include <string.h>

#include "wire/coordinator_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_coordinator_message one, two;
    struct wire_bytes first, second;
    if (size == 0 || data[0] >= WIRE_COORDINATOR_KIND_N)
        return 0;
    enum wire_coordinator_kind kind = (enum wire_coordinator_kind)data[0];
    if (wire_coordinator_unpack(data + 1, size - 1, kind, &one, NULL) != STATUS_OK)
        return 0;
    require(wire_coordinator_pack(&one, &first, NULL) == STATUS_OK);
    require(wire_coordinator_unpack(first.data, first.size, kind, &two, NULL) == STATUS_OK);
    require(wire_coordinator_pack(&two, &second, NULL) == STATUS_OK);
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    wire_bytes_release(&first);
    wire_bytes_release(&second);
    wire_coordinator_release(&one);
    wire_coordinator_release(&two);
    return 0;
}
