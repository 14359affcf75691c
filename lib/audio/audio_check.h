/* audio_check.h: can there be speech in a file at all? Asked before anything is sent: a model makes
 * up words ("you", "Thank you.") for audio that holds none.
 *
 * Refused: less than AUDIO_SPEECH_MIN samples at 16 kHz, and digital silence: no sample of the
 * whole file with a magnitude of AUDIO_SILENT_PEAK or more. The noise of any microphone is above
 * that (8 of 32768 is -72 dB of full scale); a muted track or a failed recording is below.
 */
#ifndef AUDIO_AUDIO_CHECK_H
#define AUDIO_AUDIO_CHECK_H

#include "base/status.h"

enum {
    AUDIO_SPEECH_MIN = 1600,            /* samples: 0.1 s */
    AUDIO_SILENT_PEAK = 8
};

/* Decodes from the start up to what makes the file plausible: a block of an ordinary file, all of a
 * silent one. Failures: those of audio_file_open and _read; STATUS_INVALID: too short or silent;
 * STATUS_CORRUPT: what is left of a damaged file is. The text names the path and what to do. */
MUST_CHECK enum status audio_check(const char *path, struct error *err);

#endif
