/* recorded.h: 166 recordings of English speech (LibriSpeech, LJ Speech, non-native and others): how
 * long they are, how many tokens Whisper base makes of them, and where tiny.en differs (toy.h). No
 * text. bench/recorded.py writes recorded.c.
 */
#ifndef TESTS_CLUSTER_RECORDED_H
#define TESTS_CLUSTER_RECORDED_H

#include "backend/toy/toy.h"

extern const struct toy_recorded recorded[];
extern const uint32_t n_recorded;

#endif
