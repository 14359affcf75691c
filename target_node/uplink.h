/* uplink.h: audio frames as the model thread wants them. */
#ifndef TARGET_NODE_UPLINK_H
#define TARGET_NODE_UPLINK_H

#include "wire/wire.h"

/* wire_unpack of a client's frame, with the FLAC of audio turned into PCM. For the rpc thread:
 * decoding the audio of some hundred speakers would take a third of the model's time. *n_bytes:
 * what it takes in memory, roughly. On success the caller releases the frame; statuses as
 * wire_unpack and flac_decode. */
MUST_CHECK enum status uplink_read(const uint8_t *data, size_t size, struct wire_frame *frame,
                                   size_t *n_bytes, struct error *err);

#endif
