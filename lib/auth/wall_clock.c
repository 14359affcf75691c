#include "auth/wall_clock.h"

#include <time.h>

int64_t wall_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec;
}
