#include "spec/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

const char spec_policy_names[] = "ar, spec:N, asp[:T], asp+recycle[:T], sparse[:T], full";

enum { BRANCHES = 4, DEPTH_MAX = 64 };

static const float paper_theta = 0.3f;

static const struct {
    const char *name;
    struct spec_policy policy;
} bundles[] = {
    {"ar", {.drafts = false}},
    {"spec", {.drafts = true, .cap = SPEC_POLICY_CAP}},
    {"asp", {.drafts = true, .cap = SPEC_POLICY_CAP, .theta = paper_theta}},
    {"asp+recycle",
     {.drafts = true, .cap = SPEC_POLICY_CAP, .theta = paper_theta, .recycle = true}},
    {"sparse",
     {.drafts = true,
      .cap = SPEC_POLICY_CAP,
      .theta = paper_theta,
      .recycle = true,
      .branches = BRANCHES}},
    {"full", {.drafts = true, .theta = -1.0f, .recycle = true, .realign = true}},
};

struct spec_policy spec_policy_default(void)
{
    return bundles[ARRAY_LEN(bundles) - 1].policy;
}

/* The value behind the colon. */
static bool set_value(struct spec_policy *policy, const char *value)
{
    char *end;
    if (policy->theta == 0.0f) {
        unsigned long n = strtoul(value, &end, 10);
        policy->cap = (uint32_t)n;
        return policy->cap != 0 && n <= DEPTH_MAX && *value != '-' && *end == '\0' && end != value;
    }
    if (strcmp(value, "auto") == 0) {
        policy->theta = -1.0f;
        return true;
    }
    policy->theta = strtof(value, &end);
    return end != value && *end == '\0' && policy->theta >= 0.0f && policy->theta <= 1.0f;
}

bool spec_policy_parse(const char *text, struct spec_policy *policy)
{
    size_t n = strcspn(text, ":");
    const char *value = text[n] == ':' ? text + n + 1 : NULL;
    for (uint32_t i = 0; i < ARRAY_LEN(bundles); i++) {
        struct spec_policy chosen = bundles[i].policy;
        if (strlen(bundles[i].name) != n || memcmp(bundles[i].name, text, n) != 0)
            continue;
        if (value && (chosen.cap == 0 || !set_value(&chosen, value)))
            return false;
        *policy = chosen;
        return true;
    }
    return false;
}
