"""make.py: writes the curves of published machines and models (gpu name - model - target or draft) beside itself.

What is published stands in MACHINES and MODELS with its source; the rest is computed from it, and each file says how.

    pass of m rows = layers x launch + bytes / bandwidth x (1 + slope x (m - 1))

bytes: weights of the decoder, and keys and values of the cross-attention, in 16 bits, read once a pass. bandwidth: what
a published decoder reaches on an A100 (69 % of its peak), the same share on an H200. launch: time a layer takes beside
its bytes, fitted to the published A100 figure; it does not depend on the device's bandwidth. slope: published passes of
128 rows against one row. By the roofline alone (operations / peak against bytes / bandwidth) a pass would be flat up to
150 rows on an A100 and 200 on an H200: 64 rows of a 13B decoder are 1.7 TFLOP: 5.3 ms
at the A100's 312 TFLOP/s, against 18.6 ms for its bytes. The published slope is steeper, so it is the one in use.
"""
import os

# Peak bandwidth in GB/s: NVIDIA's data sheets of the A100 80 GB SXM and the H200 SXM.
MACHINES = {"a100": 2039.0, "h200": 4800.0}
# Llama-2-7B, bf16, one row, A100 80 GB: 104.9 tokens/s, 1397 GB/s (github.com/pytorch-labs/gpt-fast, README, Benchmarks).
SHARE = 1397.31 / 2039.0
GPT_FAST = "github.com/pytorch-labs/gpt-fast README (Llama-2-7B bf16, A100 80 GB: 104.9 tokens/s at 1397 GB/s)"
# LLaMA 7B, fp16, A100, 128 rows of prompt: 16 ms (TensorRT-LLM v0.5, docs/source/performance.md, Low Latency), against
# 9.53 ms for one row (another engine: part of the slope may be that). GPT-J 6B, same page and v0.5's H100vsA100 blog: 12.5 ms for 128 rows, 111 tokens/s for one.
SLOPE_LLAMA = (16.0 / (1000.0 / 104.9) - 1.0) / 127
SLOPE_GPTJ = (12.5 / (1000.0 / 111.0) - 1.0) / 127
TENSORRT = "TensorRT-LLM v0.5 docs/source/performance.md (A100 fp16, first token of 128)"
# Whisper, fp16, A100, ms per token: tiny 0.746, medium 3.894, large-v2 6.262 (github.com/microsoft/onnxruntime,
# onnxruntime/python/tools/transformers/models/whisper/README.md, Benchmarking on NVIDIA A100). large-v3 has the shape of
# large-v2's decoder. Some of it may be the encoder's share: that makes passes longer, drafts and targets alike.
ONNX = "github.com/microsoft/onnxruntime models/whisper/README.md (A100 fp16, ONNX Runtime)"
ROWS = (1, 2, 4, 8, 16, 24, 32, 48, 64)


def whisper_bytes(width, layers, vocabulary):
    weights = 14 * width * width * layers + vocabulary * width      # cross keys and values are computed once a window
    return 2.0 * (weights + 2 * 1500 * width * layers)


class Model:
    def __init__(self, n_bytes, layers, slope, published_ms, encode_ms, sources):
        self.bytes, self.layers, self.slope, self.encode_ms, self.sources = n_bytes, layers, slope, encode_ms, sources
        on_a100 = n_bytes / (MACHINES["a100"] * SHARE * 1e6)
        self.launch_ms = max(0.0, published_ms - on_a100) / layers if published_ms else 0.0

    def ms(self, machine, rows):
        stream = self.bytes / (MACHINES[machine] * SHARE * 1e6)
        return self.layers * self.launch_ms + stream * (1.0 + self.slope * (rows - 1))


# Encoders: operations / (half the A100's 312 TFLOP/s), a computed figure; decode figures do not contain it.
TINY = Model(whisper_bytes(384, 4, 51864), 4, SLOPE_GPTJ, 0.746, 0.3, [ONNX])
TINYLLAMA = Model(2 * 1.1e9, 22, SLOPE_LLAMA, None, 0.3, ["TinyLlama-1.1B by its bytes", GPT_FAST])
MODELS = {
    "medium.en": (Model(whisper_bytes(1024, 24, 51864), 24, SLOPE_GPTJ, 3.894, 7.0, [ONNX]), TINY, "tiny.en"),
    "large-v3": (Model(whisper_bytes(1280, 32, 51866), 32, SLOPE_GPTJ, 6.262, 15.0, [ONNX]), TINY, "tiny.en"),
    "llama-7b": (Model(1397.31e9 / 104.9, 32, SLOPE_LLAMA, 1000 / 104.9, 15.0, [GPT_FAST, TENSORRT]), TINYLLAMA, "TinyLlama"),
    "vicuna-13b": (Model(2 * 13.02e9, 40, SLOPE_LLAMA, None, 15.0, ["13.02e9 weights by their bytes", GPT_FAST,
                                                                    TENSORRT]), TINYLLAMA, "TinyLlama"),
}


def write(name, machine, model, title):
    lines = [f"# {title}; written by make.py, which has the formula and the sources in full.",
             "# Sources: " + "; ".join(model.sources) + "."]
    if machine != "a100":
        lines.append("# No figure for this device is published there: the A100's launch times, bytes at 4.8 TB/s x 0.69.")
    lines += [f"encode\t{model.encode_ms:g}", "rows\tms"]
    lines += [f"{rows}\t{model.ms(machine, rows):.3f}" for rows in ROWS]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def main():
    for machine in MACHINES:
        for name, (target, draft, draft_name) in MODELS.items():
            device = machine.upper()
            write(f"{machine}-{name}-target.tsv", machine, target, f"{name} in 16 bits on an {device}")
            write(f"{machine}-{name}-draft.tsv", machine, draft, f"{draft_name} in 16 bits on an {device}, for {name}")


if __name__ == "__main__":
    main()
