/* Dropout of n entries: x is kept where its number is p or more; the numbers are those from `counter` on. */
#include <stdint.h>

static uint64_t mixed(uint64_t z) /* as SplitMix64 does */
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void dropout(const float *x, float *y, int64_t n, double p, float scale, uint64_t seed, uint64_t counter)
{
    uint64_t start = mixed(seed);
    for (int64_t at = 0; at < n; at++) {
        uint64_t word = mixed(start + (counter + (uint64_t)at) * 0x9E3779B97F4A7C15u);
        y[at] = (double)(word >> 11) * 0x1p-53 >= p ? x[at] * scale : 0.0f;
    }
}
