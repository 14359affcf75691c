/* speech.h: real speech through real models in one process: Debian's pocketsphinx-testdata
 * (LibriVox readings and spoken card names, 16 kHz) and the models of the model cache.
 */
#ifndef TESTS_SUPPORT_SPEECH_H
#define TESTS_SUPPORT_SPEECH_H

#include "engine/client.h"
#include "engine/engine.h"
#include "loop.h"

#define SPEECH_FOLDER "/usr/share/pocketsphinx/test/data"
#define SPEECH_SENTENCE "librivox/sense_and_sensibility_01_austen_64kb-0880.wav"
#define SPEECH_SHORT "cards/001.wav"

/* Opens a model of the cache; kernels NULL: the fastest set. Fails the test without the file. */
void speech_engine_open(struct engine *engine, const char *model, uint32_t n_threads,
                        const char *kernels);

/* How to transcribe: greedy English without fallback, drafts as the price says, unless changed. */
struct client_options speech_options(bool timestamps);

/* The whole draft first, rows free. */
void speech_options_wait(struct client_options *options);

/* Transcribes a file of the package (path below its folder) as one utterance; the result is the
 * loop's, borrowed until its next utterance. Fails the test when it does not end well. */
const struct loop_result *speech_transcribe(struct loop *loop, const char *file);

/* The same in a loop of its own; draft NULL: the target alone. Caller frees with free(). */
struct loop_result *speech_once(struct engine *target, struct engine *draft,
                                const struct client_options *options, const char *file);

/* Fails the test, naming file and place, unless tokens and text are the same. */
void speech_assert_same(const char *file, const struct loop_result *expected,
                        const struct loop_result *actual);
void speech_assert_tokens(const char *file, const int32_t *expected, uint32_t n_expected,
                          const struct loop_result *actual);

#endif
