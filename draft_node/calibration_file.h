/* calibration_file.h: what a draft model's confidence was worth, kept from run to run: a file per
 * model and language in the cache folder, calibration-MODEL-LANGUAGE.tsv, a line per bucket:
 *
 *     confidence (centre) TAB trials TAB hits
 */
#ifndef DRAFT_NODE_CALIBRATION_FILE_H
#define DRAFT_NODE_CALIBRATION_FILE_H

#include "spec/calibration.h"

/* Fills *calibration: nothing learned, when the file is missing or not as it should be. */
void calibration_load(const char *model, const char *language,
                      struct spec_calibration *calibration);

/* Replaces the file at once (of two runs at a time the last one stays); not being able to is no
 * error: the next run learns again. */
void calibration_save(const char *model, const char *language,
                      const struct spec_calibration *calibration);

/* Tokens learned from; what is forgotten does not count. */
double calibration_tokens(const struct spec_calibration *calibration);

#endif
