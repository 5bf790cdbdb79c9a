/* bench: what the machine can do, measured beside what moat does. */
#pragma once

/* Prints one line of JSON: int8 products, float32 fma and bytes read per second of `threads` threads at once. */
void bench_ceilings(unsigned threads);
