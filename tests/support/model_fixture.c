#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/model_random.h"
#include "model/whisper.h"

struct model_description fixture_description(void)
{
    struct model_description d;
    struct error err = {0};
    assert_ok(model_shape_like("tiny.en", &d, &err), &err);
    struct stack_description *stacks[] = {&d.encoder, &d.decoder};
    for (size_t i = 0; i < ARRAY_LEN(stacks); i++) {
        stacks[i]->n_state = 64;
        stacks[i]->n_heads = 2;
        stacks[i]->n_ff = 256;
    }
    d.encoder.n_layers = 2;
    d.decoder.n_layers = 1;
    d.encoder.n_positions = 12;
    d.decoder.n_positions = 10;
    d.n_vocab = 1908;
    whisper_defaults(&d);
    assert_ok(whisper_layout(&d, 300, &err), &err);
    snprintf(d.name, sizeof(d.name), "whisper");
    return d;
}

const char *fixture_write(const char *folder, const char *name, enum tensor_type type)
{
    struct error err = {0};
    struct model_description d = fixture_description();
    const char *path = support_format("%s/%s", folder, name);
    assert_ok(model_write_random(path, &d, 7, type, &err), &err);
    return path;
}

uint8_t *fixture_read_file(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    fclose(file);
    return bytes;
}

void fixture_write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}
