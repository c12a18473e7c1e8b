#include "Clones.h"

// INT32_MAX: no limit. Per thread, so that a test that lowers it leaves other threads alone.
static _Thread_local int limit = INT32_MAX;

int cv_machine_level(void) {
#if defined(__x86_64__)
    static _Atomic int found = -1;
    if (found < 0) {
        __builtin_cpu_init();
        found = __builtin_cpu_supports("x86-64-v4") ? 2 : __builtin_cpu_supports("x86-64-v3") ? 1 : 0;
    }
    return found;
#else
    return 0;
#endif
}

void cv_limit_level(int level) { limit = level < 0 ? 0 : level; }

int cv_current_level(void) {
    int machine = cv_machine_level();
    return machine < limit ? machine : limit;
}
