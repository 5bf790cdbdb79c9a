/* kern_grids: codebooks, see kern_grids.c. Private to kern. */
#pragma once

#include <stdint.h>

extern const uint16_t kern_grid_iq2_xxs[256], kern_grid_iq2_xs[512], kern_grid_iq2_s[1024], kern_grid_iq3_xxs[256],
    kern_grid_iq3_s[512], kern_grid_iq1[2048];
