/* fuzz_config.c: any bytes as a configuration file; what is accepted prints and reads back. */
#include <stdlib.h>

#include "../config/fixture.h"

static struct options *parse(struct values *values)
{
    static const char *const argv[] = {"probe", "--no-config", NULL};
    struct option_environment none = {0};
    struct options *options = NULL;
    memset(values, 0, sizeof(*values));
    SA_ASSERT(options_parse(&program, &none, argv, values, &options, NULL) == STATUS_OK);
    return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values values, again;
    struct options *options = parse(&values);
    struct error err = {0};
    enum status status = options_apply_text(options, "fuzz", (const char *)data, size, &err);
    SA_ASSERT((status == STATUS_OK) == (err.text[0] == '\0'));
    if (status == STATUS_OK) {
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);
        SA_ASSERT(out);
        options_print_config(options, out);
        fclose(out);
        struct options *second = parse(&again);
        SA_ASSERT(options_apply_text(second, "again", text, n, &err) == STATUS_OK);
        SA_ASSERT(values.threads == again.threads && values.cache == again.cache);
        SA_ASSERT(!values.name == !again.name);
        SA_ASSERT(!values.name || strcmp(values.name, again.name) == 0);
        options_free(&second);
        free(text);
    }
    options_free(&options);
    return 0;
}
