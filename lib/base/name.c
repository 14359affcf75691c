#include "base/name.h"

#include <string.h>

bool name_valid(const char *name, size_t n, size_t max)
{
    if (n < 1 || n > max)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9') || (name[i] && strchr("-_.:", name[i]))))
            return false;
    return true;
}
