/* model.h: a model file (GGUF) opened, described and checked; tensors are read on demand.
 *
 * A model is a description plus named tensors. The description says everything that the layer loop
 * of a backend needs (norm, positions, activation, cross-attention or none), so a new architecture
 * is a new description, not a new loop. Names and metadata keys are listed in docs/MODEL.md.
 *
 * The file is read with pread, never mapped: a backend repacks weights into its own layout, and a
 * mapping would count twice in resident memory.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum tensor_type { TENSOR_F32, TENSOR_F16, TENSOR_Q8_0, TENSOR_Q4_0 };

enum norm_kind { NORM_LAYER, NORM_RMS };                   /* LayerNorm with bias; RMSNorm */
enum position_kind { POSITION_TABLE, POSITION_ROTARY };    /* learned or sinusoidal table; RoPE */
enum activation_kind { ACTIVATION_GELU, ACTIVATION_SWIGLU }; /* erf-GELU; SiLU(gate) * up */

/* One transformer stack: n_state = n_heads * head_size; queries have n_heads, keys n_kv_heads. */
struct stack_description {
    uint32_t n_layers;
    uint32_t n_state;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_size;
    uint32_t n_ff;
    uint32_t n_positions;       /* longest sequence: 1,500 (Whisper's encoder), 448 (decoder) */
    enum norm_kind norm;
    float norm_eps;
    enum position_kind positions;
    float rope_theta;           /* POSITION_ROTARY only */
    enum activation_kind activation;
    bool cross_attention;
    bool tied_head;             /* output projection = token embedding */
};

enum { MODEL_LANGUAGES_MAX = 128, MODEL_SUPPRESS_MAX = 512 };

/* Special token ids; -1 where the model has none. */
struct special_tokens {
    int32_t end;                /* <|endoftext|> */
    int32_t start;              /* <|startoftranscript|> */
    int32_t translate;
    int32_t transcribe;
    int32_t previous;           /* <|startofprev|> */
    int32_t no_speech;          /* <|nospeech|> */
    int32_t no_timestamps;      /* <|notimestamps|> */
    int32_t timestamp_begin;    /* <|0.00|>; one step is 20 ms, the last is <|30.00|> */
    int32_t language_begin;     /* language i is token language_begin + i, code languages[i] */
};

struct model_description {
    char architecture[32];      /* "whisper" */
    char name[64];              /* "whisper-base" */
    uint32_t n_mels;            /* 80 or 128 */
    uint32_t n_vocab;
    bool multilingual;
    struct stack_description encoder;
    struct stack_description decoder;
    struct special_tokens special;
    uint32_t n_languages;
    char languages[MODEL_LANGUAGES_MAX][4];  /* "en", "zh", "yue" */
    uint32_t n_suppress;
    int32_t suppress[MODEL_SUPPRESS_MAX];           /* never sampled */
    uint32_t n_suppress_first;
    int32_t suppress_first[16];                     /* never sampled as first token */
};

struct model;

/* Opens and checks the header, the metadata and every tensor's bounds. STATUS_NOT_FOUND, _CORRUPT
 * (truncated, overlapping, absurd sizes), _UNSUPPORTED (version, type, architecture). */
MUST_CHECK enum status model_open(const char *path, struct model **out, struct error *err);
void model_close(struct model **model);

/* Reads every tensor once, so that all hashes are checked. STATUS_CORRUPT, STATUS_IO. */
MUST_CHECK enum status model_verify(const struct model *model, struct error *err);

/* Which converter wrote the file (MODEL_CONVERTER_VERSION of model_write.h). */
uint32_t model_converter_version(const struct model *model);

const struct model_description *model_describe(const struct model *model);
const char *model_path(const struct model *model);

/* 64-bit hashes (XXH3): of metadata and all tensor bytes; of the vocabulary (token bytes by id and
 * special ids). Equal vocabulary hashes mean that token ids can cross the wire untouched. The
 * fingerprint of the tensor bytes is written by the converter and checked as tensors are read. */
uint64_t model_fingerprint(const struct model *model);
uint64_t model_vocabulary_hash(const struct model *model);

/* Bytes of token id, not terminated, borrowed for the model's life; special tokens give their
 * "<|name|>" form. id must be below n_vocab. */
const uint8_t *model_token(const struct model *model, int32_t id, size_t *n_bytes);

struct tensor_info {
    enum tensor_type type;
    uint32_t n_dims;
    uint64_t shape[4];          /* slowest first: a linear layer is [n_out, n_in] */
    uint64_t n_bytes;
};

/* Looks a tensor up and checks its shape (a 0 in `shape` means any); out may be NULL. The first
 * failure sticks in *err (required): once err->code is set, later calls do nothing and return
 * false, so that a binder can ask for everything and look at the error once. */
bool model_tensor(const struct model *model, const char *name, uint32_t n_dims,
                  const uint64_t *shape, struct tensor_info *out, struct error *err);

/* Reads bytes [offset, offset + n) of a tensor as they lie in the file (row-major, f16 little
 * endian, q8_0 as GGUF blocks: f16 scale and 32 int8; q4_0 likewise: and 32 nibbles). Each part of
 * the file is checked against its hash the first time it is read: STATUS_CORRUPT for a damaged one.
 * Any thread may read. */
MUST_CHECK enum status model_read(const struct model *model, const char *name, uint64_t offset,
                                  void *dst, size_t n, struct error *err);

/* Reads a whole tensor as float32 (n = number of elements), whatever its type in the file. */
MUST_CHECK enum status model_read_f32(const struct model *model, const char *name, float *dst,
                                      size_t n, struct error *err);

#endif
