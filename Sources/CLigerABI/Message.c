#include "liger.h"
#include "liger_message.h"
#include <stdlib.h>
#include <string.h>

static _Thread_local char *last_message;

void liger_internal_keep_message(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    free(last_message);
    last_message = copy;
}

const char *liger_last_message(void) { return last_message ? last_message : ""; }
