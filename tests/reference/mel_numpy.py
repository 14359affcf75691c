"""Log-mel features written from the formulas, in float64 numpy: the independent side of test_mel.

    python3 mel_numpy.py N_MELS N_FRAMES INPUT.s16 OUTPUT.f32

INPUT: s16le samples at 16 kHz; OUTPUT: float32, [N_MELS][N_FRAMES].
Also `python3 mel_numpy.py filters N_MELS OUTPUT.f32`: the filter bank, [N_MELS][201].
"""
import sys

import numpy as np

RATE, N_FFT, HOP = 16000, 400, 160


def hz_of_mel(mel):
    """Slaney (Auditory Toolbox): linear below 1 kHz, logarithmic above."""
    linear = mel * 200.0 / 3
    return np.where(mel < 15, linear, 1000.0 * 6.4 ** ((mel - 15) / 27.0))


def filter_bank(n_mels):
    top = 15 + 27 * np.log(8.0) / np.log(6.4)
    edges = hz_of_mel(np.linspace(0, top, n_mels + 2))
    bins = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    bank = np.zeros((n_mels, bins.size))
    for i in range(n_mels):
        low, mid, high = edges[i : i + 3]
        triangle = np.interp(bins, [low, mid, high], [0, 1, 0], left=0, right=0)
        bank[i] = triangle * 2 / (high - low)
    return bank


def log_mel(samples, n_mels, n_frames):
    window = np.zeros(n_frames * HOP)
    n = min(window.size, samples.size)
    window[:n] = samples[:n] / 32768.0
    padded = np.pad(window, N_FFT // 2, mode="reflect")
    hann = np.sin(np.pi * np.arange(N_FFT) / N_FFT) ** 2
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP][:n_frames]
    power = np.abs(np.fft.rfft(frames * hann, axis=1)) ** 2
    logs = np.log10(np.maximum(filter_bank(n_mels) @ power.T, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


def main(arguments):
    if arguments[0] == "filters":
        result = filter_bank(int(arguments[1]))
    else:
        samples = np.fromfile(arguments[2], dtype="<i2").astype(np.float64)
        result = log_mel(samples, int(arguments[0]), int(arguments[1]))
    result.astype("<f4").tofile(arguments[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
