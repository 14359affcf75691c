/* Every message of lib/wire. The first byte says which reader: 0 client frame, 1 target frame,
 * 2 vocabulary, 3 vocabulary request. What is accepted must pack, and the packed bytes must be
 * stable. */
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void frame(const uint8_t *data, size_t size, bool from_client)
{
    struct wire_frame one, two;
    struct wire_bytes first, second;
    if (wire_unpack(data, size, from_client, &one, NULL) != STATUS_OK)
        return;
    require(wire_pack(&one, &first, NULL) == STATUS_OK);
    require(wire_unpack(first.data, first.size, from_client, &two, NULL) == STATUS_OK);
    require(wire_pack(&two, &second, NULL) == STATUS_OK);
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    wire_bytes_release(&first);
    wire_bytes_release(&second);
    wire_frame_release(&one);
    wire_frame_release(&two);
}

static void vocabulary(const uint8_t *data, size_t size)
{
    struct wire_vocabulary one, two;
    struct wire_bytes first, second;
    if (wire_vocabulary_unpack(data, size, &one, NULL) != STATUS_OK)
        return;
    require(wire_vocabulary_pack(&one, &first, NULL) == STATUS_OK);
    require(wire_vocabulary_unpack(first.data, first.size, &two, NULL) == STATUS_OK);
    require(wire_vocabulary_pack(&two, &second, NULL) == STATUS_OK);
    require(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    wire_bytes_release(&first);
    wire_bytes_release(&second);
    wire_vocabulary_release(&one);
    wire_vocabulary_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t hash;
    if (size == 0)
        return 0;
    if (data[0] <= 1)
        frame(data + 1, size - 1, data[0] == 0);
    else if (data[0] == 2)
        vocabulary(data + 1, size - 1);
    else if (wire_vocabulary_request_unpack(data + 1, size - 1, &hash, NULL) != STATUS_OK)
        return 0;
    return 0;
}
