// SPDX-License-Identifier: MIT OR Apache-2.0

// Entry of the boot vCPU and of the others, and the exception vectors.

.section .head, "ax"
.global _head
_head:
    // The arm64 Image header (Linux, Documentation/arch/arm64/booting.rst).
    b       boot_entry
    .long   0
    .quad   0                       // text_offset
    .quad   __image_size
    .quad   0b1010                  // little endian, 4 KiB pages, anywhere in RAM
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

.section .text, "ax"
boot_entry:
    // What the loader gave us, before anything here changes it.
    mov     x19, x0
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    mrs     x23, sctlr_el1
    mrs     x24, daif

    // Link address 0 to load address: R_AARCH64_RELATIVE is all that the linker leaves.
    adr     x9, _head
    adrp    x10, __rela_start
    add     x10, x10, :lo12:__rela_start
    adrp    x11, __rela_end
    add     x11, x11, :lo12:__rela_end
1:  cmp     x10, x11
    b.hs    2f
    ldp     x12, x13, [x10], #16
    ldr     x14, [x10], #8
    cmp     w13, #1027
    b.ne    1b
    add     x14, x14, x9
    str     x14, [x9, x12]
    b       1b
2:
    adrp    x10, __bss_start
    add     x10, x10, :lo12:__bss_start
    adrp    x11, __bss_end
    add     x11, x11, :lo12:__bss_end
3:  cmp     x10, x11
    b.hs    4f
    stp     xzr, xzr, [x10], #16
    b       3b
4:
    // One table of 1 GiB blocks, virtual = physical: device memory below RAM, then normal memory.
    // The upper half maps the same again for EL0.
    adrp    x10, __l1_table
    mov     x11, #0
    movz    x12, #0x0401            // block, AttrIndx 0, AF
    movk    x12, #0x0060, lsl #48   // UXN, PXN
    str     x12, [x10]
5:  add     x11, x11, #1
    cmp     x11, #256
    b.eq    6f
    lsl     x13, x11, #30
    movz    x12, #0x0705            // block, AttrIndx 1, inner shareable, AF
    movk    x12, #0x0040, lsl #48   // UXN
    orr     x12, x12, x13
    str     x12, [x10, x11, lsl #3]
    movz    x12, #0x0745            // the same, AP = EL0 too
    movk    x12, #0x0020, lsl #48   // PXN
    orr     x12, x12, x13
    add     x14, x11, #256
    str     x12, [x10, x14, lsl #3]
    b       5b
6:
    dsb     sy
    bl      enable_mmu
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x3, x22
    mov     x4, x23
    mov     x5, x24
    bl      guest_main
    b       .

.global secondary_entry
secondary_entry:
    mov     x19, x0
    mrs     x20, sctlr_el1
    bl      enable_mmu
    mov     x0, x19
    mov     x1, x20
    bl      secondary_main
    b       .

// Stage 1 on, vectors set, this vCPU's own stack.
enable_mmu:
    ldr     x9, =0xff04             // MAIR: 0 Device-nGnRE, 1 Normal write-back
    msr     mair_el1, x9
    ldr     x9, =0x280803519        // TCR: T0SZ 25, write-back, inner shareable, EPD1, 40 bits
    msr     tcr_el1, x9
    adrp    x9, __l1_table
    msr     ttbr0_el1, x9
    adrp    x9, vectors
    add     x9, x9, :lo12:vectors
    msr     vbar_el1, x9
    tlbi    vmalle1
    ic      iallu
    dsb     sy
    isb
    ldr     x9, =0x30d0199d         // SCTLR: RES1 bits of Armv8.0, I, SA0, SA, C, M
    msr     sctlr_el1, x9
    isb
    msr     spsel, #1
    mrs     x9, mpidr_el1
    and     x9, x9, #7
    add     x9, x9, #1
    adrp    x10, __stacks_start
    add     x10, x10, :lo12:__stacks_start
    add     x9, x10, x9, lsl #15
    mov     sp, x9
    ret

.macro vector kind
    .balign 128
    sub     sp, sp, #272
    stp     x0, x1, [sp]
    mov     x0, #\kind
    b       take_exception
.endm

.balign 2048
vectors:
    vector 0
    vector 1
    vector 2
    vector 3
    vector 4
    vector 5
    vector 6
    vector 7
    vector 8
    vector 9
    vector 10
    vector 11
    vector 12
    vector 13
    vector 14
    vector 15

take_exception:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x9, elr_el1
    stp     x30, x9, [sp, #240]
    mrs     x9, spsr_el1
    str     x9, [sp, #256]
    mov     x1, sp
    bl      on_exception
    ldr     x9, [sp, #256]
    msr     spsr_el1, x9
    ldp     x30, x9, [sp, #240]
    msr     elr_el1, x9
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp], #272
    eret

// enter_el0(pc, pstate): runs at EL0 until the first exception, which returns here (see trap.rs).
.global enter_el0
enter_el0:
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    msr     elr_el1, x0
    msr     spsr_el1, x1
    eret
.global leave_el0
leave_el0:
    ldp     x29, x30, [sp, #80]
    ldp     x27, x28, [sp, #64]
    ldp     x25, x26, [sp, #48]
    ldp     x23, x24, [sp, #32]
    ldp     x21, x22, [sp, #16]
    ldp     x19, x20, [sp], #96
    ret

// enter_step(pc, argument): calls pc with software step armed (MDSCR_EL1.KDE, SS; see trap.rs).
.global enter_step
enter_step:
    mov     x2, #0x2001
    msr     mdscr_el1, x2
    mov     x3, #0x1c5
    movk    x3, #0x20, lsl #16
    msr     elr_el1, x0
    msr     spsr_el1, x3
    isb
    eret
