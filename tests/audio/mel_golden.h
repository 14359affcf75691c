/* mel_golden.h: fixed values for test_mel.
 *
 * golden_noise_frame_3: frame 3 of 20, 80 bands, of 4,000 samples of splitmix64 noise (seed 42,
 * the upper 16 bits minus 32768, halved toward zero), from tests/reference/mel_numpy.py's log_mel.
 * golden_bits_*: FNV-1a over the float bits of this implementation (40,000 samples of the same
 * noise; 80 bands and 300 frames, 128 bands and 200 frames), equal on x86-64 and AArch64. A change
 * of them is a change of every model's input: make them anew only with a reason.
 */
#ifndef TESTS_AUDIO_MEL_GOLDEN_H
#define TESTS_AUDIO_MEL_GOLDEN_H

#include <stdint.h>

static const float golden_noise_frame_3[80] = {
    0.8560419f, 0.9036846f, 0.7908344f, 0.7593269f, 0.7759712f, 0.7492466f, 0.7230639f, 0.7633570f,
    0.8015825f, 0.7740260f, 0.6374036f, 0.8116734f, 0.9206761f, 0.7994276f, 0.7812521f, 0.8896372f,
    0.9145491f, 0.9702028f, 0.9455730f, 0.8599907f, 0.8126432f, 0.8387406f, 0.7984021f, 0.7734685f,
    0.8552682f, 0.6363487f, 0.8336211f, 0.8929556f, 0.8017651f, 0.6579478f, 0.8939479f, 0.9443374f,
    0.9196478f, 0.9158696f, 0.8619643f, 0.9312551f, 0.8477580f, 0.7852891f, 0.7990246f, 0.9114492f,
    0.8986353f, 0.7457810f, 0.8367127f, 0.8926507f, 0.8798880f, 0.9081013f, 0.7863323f, 0.6887131f,
    0.8384488f, 0.8880358f, 0.9066708f, 0.9449552f, 0.8056488f, 0.8947191f, 0.9448158f, 0.9018533f,
    0.8038986f, 0.8428039f, 0.8952912f, 0.7314504f, 0.7791961f, 0.8589685f, 0.9126864f, 0.7995933f,
    0.8316421f, 0.8463377f, 0.9097421f, 0.8493372f, 0.8506646f, 0.8336322f, 0.9587674f, 0.8935699f,
    0.8194689f, 0.8018545f, 0.8169375f, 0.8548215f, 0.8507052f, 0.8596685f, 0.8632401f, 0.9201450f,
};

static const uint64_t golden_bits_80 = 0x7CCAB156F47F69D5u;
static const uint64_t golden_bits_128 = 0xBB145444CFC6D4BBu;

#endif
