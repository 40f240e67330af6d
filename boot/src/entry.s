// SPDX-License-Identifier: MIT OR Apache-2.0

// HCR_EL2 before there are guests: RW alone.
.set HCR, 1 << 31
// SCTLR_EL2 with the MMU and caches off: the RES1 bits, and little-endian (DDI 0487 D19.2.122).
.set SCTLR_OFF, 0x30c50830
// The same with M, C, I on.
.set SCTLR_ON, SCTLR_OFF | 0x1005
// Attr0 = Normal write-back, Attr1 = Device-nGnRE.
.set MAIR, 0x04ff
// T0SZ = 16 (48 bits, walks start at level 0), write-back inner shareable walks, 4 KiB granule.
.set TCR, 0x80803510
// Table descriptor: valid, nothing restricted.
.set TABLE, 3
// Block descriptor: valid, attribute 0, AF, inner shareable; AP[1], which is RES1 in a regime with one exception level.
.set IMAGE_BLOCK, 0x741
// The same, read-only and never executed.
.set TREE_BLOCK, IMAGE_BLOCK | 0x80 | (1 << 54)
// Log2 of the bytes that the early tables span.
.set SPAN, 48

// What firmware leaves in most registers of EL2 is UNKNOWN. Those that count before the vectors are in place: by
// HCR_EL2.E2H the names of EL1's registers are EL2's, and by TPIDR_EL2 the vectors find an emergency stack. Where they
// exist, TCR2_EL2 and SCTLR2_EL2 give EL2's tables another meaning, and GCSCR_EL2 its calls and returns.
// Clobbers x1.
.macro own_el2
    mov     x1, #HCR
    msr     hcr_el2, x1
    msr     tpidr_el2, xzr
    mrs     x1, s3_0_c0_c7_3    // ID_AA64MMFR3_EL1
    tst     x1, #0xf            // TCRX
    b.eq    7f
    msr     s3_4_c2_c0_3, xzr   // TCR2_EL2
7:  tst     x1, #0xf0           // SCTLRX
    b.eq    8f
    msr     s3_4_c1_c0_3, xzr   // SCTLR2_EL2
8:  mrs     x1, id_aa64pfr1_el1
    tst     x1, #(0xf << 44)    // GCS
    b.eq    9f
    msr     s3_4_c2_c5_0, xzr   // GCSCR_EL2
9:  isb
.endm

// SCTLR_EL2.EE, too, is UNKNOWN: memory is read and written only behind this. Clobbers x1.
.macro own_memory
    mov     x1, #(SCTLR_OFF & 0xffff)
    movk    x1, #(SCTLR_OFF >> 16), lsl #16
    msr     sctlr_el2, x1
    isb
.endm

// Notes how far the image has come: stage.rs. Clobbers x1-x4, x30.
.macro reach stage
    mov     x1, #\stage
    bl      reached
.endm

.section .head, "ax"
.global _head
_head:
    b       primary_entry
    .long   0
    .quad   0                   // text_offset
    .quad   __image_size        // whole 2 MiB blocks: they are mapped as memory of ours
    .quad   0xa                 // little-endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

.section .text.boot, "ax"
primary_entry:
    poison_primary
    msr     daifset, #0xf
    mov     x20, x0
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    1f
    own_memory
1:  reach   {ENTERED}
    msr     spsel, #1
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    1f
    own_el2
1:  mrs     x19, cntpct_el0
    adr     x0, _head
    tst     x0, #0xfff          // nothing here finds anything at such an address
    b.ne    .

    // The boot protocol cleans the file's bytes only: drop stale lines of what is written below.
    bl      clean_image
    bl      relocate
    adrp    x0, __bss_start
    adrp    x1, __image_end
1:  stp     xzr, xzr, [x0]      // both are multiples of a page
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    1b
    adrp    x0, stacks
    add     sp, x0, #({STACK_STRIDE} >> 12), lsl #12
    reach   {CLEARED}

    mov     x1, x20
    mrs     x0, CurrentEL
    lsr     x0, x0, #2
    cmp     x0, #2
    b.ne    cannot_start
    mrs     x2, hcr_el2         // see own_el2: a core without E2H = 0 keeps it set
    mov     x0, #{HOST_EXTENSIONS}
    tst     x2, #(1 << 34)
    b.ne    cannot_start
    adrp    x2, __image_start
    mov     x0, #{MISPLACED}
    tst     x2, #0x1fffff
    b.ne    cannot_start
    adrp    x2, exception_vectors
    add     x2, x2, :lo12:exception_vectors
    msr     vbar_el2, x2
    isb
    reach   {FIT}

    bl      measure_tree
    cbz     x21, 1f
    reach   {TREE}
1:  bl      build_early_tables
    bl      clean_image
    reach   {TABLES}
    adrp    x0, early_root
    ldr     x1, =TCR
    ldr     x2, =MAIR
    ldr     x3, =SCTLR_ON
    bl      enable_mmu
    mov     x0, x20
    mov     x1, x21
    mov     x2, x19
    bl      primary_main
    b       .

// From a spin table, with nothing in the registers: the core's SecondaryStart is the one with its MPIDR.
.global spin_table_entry
spin_table_entry:
    own_memory
    mrs     x1, mpidr_el1
    ldr     x2, =0xff00ffffff   // the affinity fields
    and     x1, x1, x2
1:  adrp    x0, secondary_starts
    add     x0, x0, :lo12:secondary_starts
    mov     x2, #{MAX_CORES}
2:  ldr     x3, [x0, #48]
    cmp     x1, x3
    b.eq    3f
    add     x0, x0, #{START_SIZE}
    subs    x2, x2, #1
    b.ne    2b
    wfe                         // another core's word was this one's, too: its turn comes, or it never is asked for
    b       1b
3:  dsb     sy                  // the rest was written before the MPIDR

// x0 = the core's SecondaryStart.
.global secondary_entry
secondary_entry:
    poison_secondary
    msr     daifset, #0xf
    msr     spsel, #1
    own_memory
    own_el2
    mov     x19, x0
    ldp     x4, x0, [x19]
    mov     sp, x4
    ldp     x1, x2, [x19, #16]
    ldr     x3, [x19, #32]
    bl      enable_mmu
    ldr     x0, [x19, #40]
    bl      secondary_main
    b       .

// x0 = TTBR0, x1 = TCR but for PS, which is what this core can address; x2 = MAIR, x3 = SCTLR. Clobbers x1, x4, x5.
.global enable_mmu
enable_mmu:
    mrs     x4, id_aa64mmfr0_el1
    and     x4, x4, #0xf        // PARange
    mov     x5, #5              // 48 bits: more need other descriptors
    cmp     x4, x5
    csel    x4, x4, x5, lo
    bfi     x1, x4, #16, #3     // PS
    ldr     x4, =SCTLR_OFF
    msr     sctlr_el2, x4
    isb
    tlbi    alle2
    ic      iallu
    dsb     sy
    msr     ttbr0_el2, x0
    msr     tcr_el2, x1
    msr     mair_el2, x2
    adrp    x4, exception_vectors
    add     x4, x4, :lo12:exception_vectors
    msr     vbar_el2, x4
    isb
    msr     sctlr_el2, x3
    isb
    ret

// Clean and invalidate the whole image to the point of coherency. Clobbers x0-x3.
clean_image:
    adrp    x0, __image_start
    adrp    x1, __image_end
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4     // DminLine, log2 of words
    mov     x3, #4
    lsl     x2, x3, x2
1:  dc      civac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

// Apply the relative relocations, once: the image is linked at 0. They are packed (ELF gABI, SHT_RELR): an
// even word is an offset to relocate at, an odd one a bitmap of the 63 words that follow. Clobbers x0-x6.
relocate:
    adrp    x0, __relr_start
    add     x0, x0, :lo12:__relr_start
    adrp    x1, __relr_end
    add     x1, x1, :lo12:__relr_end
    adrp    x2, __image_start
1:  cmp     x0, x1
    b.hs    5f
    ldr     x4, [x0], #8
    tbnz    x4, #0, 2f
    add     x3, x2, x4
    ldr     x5, [x3]
    add     x5, x5, x2
    str     x5, [x3], #8
    b       1b
2:  mov     x6, x3
    add     x3, x3, #(63 * 8)
3:  lsr     x4, x4, #1
    cbz     x4, 1b
    tbz     x4, #0, 4f
    ldr     x5, [x6]
    add     x5, x5, x2
    str     x5, [x6]
4:  add     x6, x6, #8
    b       3b
5:  ret

// x1 = the stage. The word is stage.rs's; a line that the loader left dirty must not overwrite it.
reached:
    adr     x2, _head
    and     x2, x2, #~0xfff
    add     x2, x2, #({POST_CODE} >> 12), lsl #12
    mov     x3, x1
    movk    x3, #({POST_MAGIC} >> 32) & 0xffff, lsl #32
    movk    x3, #({POST_MAGIC} >> 48), lsl #48
    dc      civac, x2
    dsb     sy
    str     x3, [x2]
    dsb     sy
    early_letter
    ret

// x21 = bytes of the device tree at x20 (Devicetree Specification 0.4, 5.2), or 0 if that is none which can be mapped.
// Clobbers x0-x2.
measure_tree:
    mov     x21, xzr
    cbz     x20, 1f
    tst     x20, #7
    b.ne    1f
    lsr     x0, x20, #SPAN
    cbnz    x0, 1f
    dc      cvac, x20           // the boot protocol does not have the loader clean it
    dsb     sy
    ldp     w0, w1, [x20]       // magic, totalsize
    rev     w0, w0
    rev     w1, w1
    ldr     w2, =0xd00dfeed
    cmp     w0, w2
    b.ne    1f
    cmp     w1, #40             // of the header
    b.lo    1f
    cmp     w1, #0x200000       // by the boot protocol
    b.hi    1f
    add     x0, x20, x1
    sub     x0, x0, #1
    lsr     x0, x0, #SPAN
    cbnz    x0, 1f
    mov     x21, x1
1:  ret

// Map the image's 2 MiB block, and the one or two of the device tree (x20, x21): no other, for what may be behind them
// is not ours to read, and a core reads ahead. Clobbers x0-x10.
build_early_tables:
    mov     x9, x30
    adrp    x0, early_root
    adrp    x4, early_tables
    early_map
    cbz     x21, 1f
    ldr     x5, =TREE_BLOCK
    mov     x3, x20
    bl      map_block
    add     x3, x20, x21
    sub     x3, x3, #1
    bl      map_block
    // Last: should the tree lie in the image's block, that is still written.
1:  mov     x5, #IMAGE_BLOCK
    adrp    x3, __image_start
    bl      map_block
    mov     x30, x9
    ret

// x0 = level-0 table, x3 = address, x4 = the next free table, x5 = attributes. Clobbers x6-x8, x10.
map_block:
    mov     x10, x30
    mov     x8, x0
    ubfx    x7, x3, #39, #9
    bl      next_level
    ubfx    x7, x3, #30, #9
    bl      next_level
    mov     x30, x10
    ubfx    x7, x3, #21, #9
    and     x6, x3, #~0x1fffff
    orr     x6, x6, x5
    str     x6, [x8, x7, lsl #3]
    ret

// x8 = the table that entry x7 of table x8 names: the next free one (x4), if it is empty. Clobbers x7.
next_level:
    add     x7, x8, x7, lsl #3
    ldr     x8, [x7]
    cbnz    x8, 1f
    orr     x8, x4, #TABLE
    str     x8, [x7]
    add     x4, x4, #4096
1:  and     x8, x8, #~0xfff
    ret

.section .bss.early, "aw", %nobits
.balign 4096
early_root:         .skip 4096
// Each block may take a table of level 1 and one of level 2.
early_tables:       .skip 4096 * 2 * {EARLY_BLOCKS}

.section .stacks, "aw", %nobits
.balign 4096
stacks:             .skip {STACKS_SIZE}
