#include "spec/calibration.h"

#include <math.h>

#include "base/status.h"

/* Trials that a bucket's prior is worth, and how many trials the past is worth at most. */
static const float prior_trials = 12.0f;
static const float memory_trials = 400.0f;

/* Errors come in bunches: an utterance is easy or hard as a whole. So many tokens count for that,
 * and so many errors that came as expected. */
static const float lately = 60.0f;
static const float usual_errors = 4.0f;

void spec_calibration_init(struct spec_calibration *calibration)
{
    for (uint32_t b = 0; b < SPEC_CALIBRATION_BUCKETS; b++) {
        calibration->trials[b] = 0.0f;
        calibration->hits[b] = 0.0f;
    }
    calibration->expected = 0.0f;
    calibration->seen = 0.0f;
}

/* Where a confidence lies among the bucket centres, 0 .. BUCKETS - 1. Buckets are equally wide in
 * 1 - sqrt(1 - confidence): narrow near 1, where most tokens are and where the rate matters most.
 * */
static float bucket_position(float confidence)
{
    float c = fminf(fmaxf(confidence, 0.0f), 1.0f);
    return (1.0f - sqrtf(1.0f - c)) * (float)(SPEC_CALIBRATION_BUCKETS - 1);
}

static float bucket_centre(uint32_t b)
{
    float x = 1.0f - (float)b / (float)(SPEC_CALIBRATION_BUCKETS - 1);
    return 1.0f - x * x;
}

/* Where a model doubts, another often says the same: 1 - (1 - c)^1.5 is within 0.03 of what was
 * measured in every bucket above 0.1 (tiny.en for base, 4,000 tokens). */
static float prior_rate(uint32_t b)
{
    float doubt = 1.0f - bucket_centre(b);
    return 1.0f - doubt * sqrtf(doubt);
}

static float bucket_rate(const struct spec_calibration *calibration, uint32_t b)
{
    return (calibration->hits[b] + prior_trials * prior_rate(b)) /
           (calibration->trials[b] + prior_trials);
}

/* Rate of a confidence, whatever happened of late. */
static float usual_rate(const struct spec_calibration *calibration, float confidence)
{
    float position = bucket_position(confidence);
    uint32_t low = MIN((uint32_t)position, (uint32_t)SPEC_CALIBRATION_BUCKETS - 2);
    float share = position - (float)low;
    return (1.0f - share) * bucket_rate(calibration, low) +
           share * bucket_rate(calibration, low + 1);
}

float spec_calibration_rate(const struct spec_calibration *calibration, float confidence)
{
    float more = (calibration->seen + usual_errors) / (calibration->expected + usual_errors);
    return fmaxf(1.0f - more * (1.0f - usual_rate(calibration, confidence)), 0.0f);
}

void spec_calibration_observe(struct spec_calibration *calibration, float confidence, bool accepted)
{
    float error = 1.0f - usual_rate(calibration, confidence);
    calibration->expected += error - calibration->expected / lately;
    calibration->seen += (accepted ? 0.0f : 1.0f) - calibration->seen / lately;
    uint32_t b = (uint32_t)(bucket_position(confidence) + 0.5f);
    float keep = calibration->trials[b] < memory_trials ? 1.0f : 1.0f - 1.0f / memory_trials;
    calibration->trials[b] = keep * calibration->trials[b] + 1.0f;
    calibration->hits[b] = keep * calibration->hits[b] + (accepted ? 1.0f : 0.0f);
}

void spec_calibration_pass(struct spec_calibration *calibration, const struct spec_tree *tree,
                           const struct spec_accepted *accepted)
{
    bool on_path[SPEC_NODES_MAX + 1] = {true}; /* [0]: the root, [1 + i]: node i */
    for (uint32_t i = 0; i < accepted->n_nodes; i++)
        on_path[1 + accepted->node[i]] = true;
    for (uint32_t i = 0; i < tree->n; i++) {
        const struct spec_node *node = &tree->node[i];
        if (on_path[1 + node->parent])
            spec_calibration_observe(calibration, node->confidence, on_path[1 + i]);
    }
}

void spec_calibration_apply(const struct spec_calibration *calibration, struct spec_tree *tree)
{
    for (uint32_t i = 0; i < tree->n; i++) {
        float *confidence = &tree->node[i].confidence;
        *confidence = spec_calibration_rate(calibration, *confidence);
    }
}
