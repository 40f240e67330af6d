// SPDX-License-Identifier: MIT OR Apache-2.0

// What entry.s does for a console whose place is known when the image is built: early.rs.

// x1 = the stage, which is the last thing its caller does.
.macro early_letter
    add     w1, w1, #('a' - 1)
    b       early_put
.endm

// In build_early_tables: device memory, never executed.
.macro early_map
    bl      early_block
    ldr     x5, =(IMAGE_BLOCK & ~0x300) | (1 << 2) | (1 << 54)
    bl      map_block
.endm
