#include "load.h"

#include <math.h>

static const float windows_memory = 16.0f, second_us = 1e6f;

void load_frame(struct load *load, const struct wire_frame *frame)
{
    if (frame->kind == WIRE_PRICE) {
        atomic_store(&load->step_us, frame->u.price.step_us);
        atomic_store(&load->row_us, frame->u.price.row_us);
    }
    if (frame->kind != WIRE_WINDOW_FINAL)
        return;
    const struct wire_window_stats *stats = &frame->u.window_final.stats;
    float us = (float)(stats->encode_us + stats->decode_us);
    load->window_us += (us - load->window_us) / (load->window_us > 0.0f ? windows_memory : 1.0f);
    atomic_store(&load->published_window_us, (uint32_t)load->window_us);
}

void load_turn(struct load *load, uint64_t began_us, uint64_t now_us)
{
    if (load->noted_us == 0)
        load->noted_us = began_us;
    float waited = (float)(began_us - load->noted_us), worked = (float)(now_us - began_us);
    load->used *= expf(-waited / second_us);
    load->used += (1.0f - load->used) * (1.0f - expf(-worked / second_us));
    load->noted_us = now_us;
}

void load_counts(struct load *load, uint32_t sessions, uint32_t busy)
{
    float ahead = fminf((float)busy, load->used / fmaxf(1.0f - load->used, 1e-3f));
    atomic_store(&load->sessions, sessions);
    atomic_store(&load->busy, busy);
    atomic_store(&load->queue_us, (uint32_t)fminf(ahead * load->window_us, 4e9f));
}
