// Runs one operation of the library, on all cores, against a plain sum: what is wrong goes to the standard error.
#include "liger.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { rows = 512, columns = 4097 };

static void require(liger_status status) {
    if (status == LIGER_OK) return;
    fprintf(stderr, "status %d: %s\n", status, liger_last_message());
    exit(1);
}

int main(void) {
    float *x = aligned_alloc(64, rows * columns * sizeof(float)), *y = aligned_alloc(64, rows * columns * sizeof(float));
    for (int i = 0; i < rows * columns; i++) x[i] = (float)((i * 7919L) % 1000) / 100 - 5;
    liger_array input = {.name = "x", .dtype = LIGER_F32, .rank = 2, .shape = {rows, columns}, .strides = {columns, 1}};
    input.alignment = 16;
    liger_call *call;
    require(liger_prepare("softmax_forward", -1, &input, 1, NULL, 0, &call));
    void *workspace = aligned_alloc(64, (liger_call_workspace(call) + 64) / 64 * 64);
    uint64_t addresses[] = {(uint64_t)x, (uint64_t)y, (uint64_t)workspace};
    require(liger_run(call, 0, addresses, liger_call_workspace(call) > 0 ? 3 : 2));
    liger_release(call);
    double worst = 0;
    for (int row = 0; row < rows; row++) {
        double sum = 0;
        for (int i = 0; i < columns; i++) sum += exp(x[row * columns + i]);
        for (int i = 0; i < columns; i++)
            worst = fmax(worst, fabs(y[row * columns + i] * sum / exp(x[row * columns + i]) - 1));
    }
    printf("liger %s: softmax of %d rows, largest relative error %.1e\n", liger_version(), rows, worst);
    return worst < 1e-5 ? 0 : 1;
}
