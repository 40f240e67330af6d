// SPDX-License-Identifier: MIT OR Apache-2.0

// What firmware may leave behind, at its worst: every register of EL2 whose reset value the architecture calls
// UNKNOWN, timers that have fired, an interrupt controller in the middle of things, garbage where zeros are
// expected. For tests on QEMU's virt alone, whose GIC is at these addresses.

.set GICD, 0x08000000
.set GICR, 0x080a0000
.set GICC, 0x08010000
.set GICH, 0x08030000

.section .text.boot, "ax"

// A core's own state. Keeps x0; clobbers x1-x8 and x21.
poison:
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.ne    9f
    ldr     x2, =0xdeadbeefdeadbee8
    mov     x3, #-1
    mov     x4, #1

    msr     tpidr_el2, x2
    msr     vbar_el2, x2
    msr     ttbr0_el2, x2
    msr     tcr_el2, x2
    msr     mair_el2, x2
    msr     vttbr_el2, x2
    msr     vtcr_el2, x2
    msr     vmpidr_el2, x2
    msr     vpidr_el2, x2
    msr     cntvoff_el2, x2
    msr     hstr_el2, x3
    mov     x1, #0x0f40             // MDCR_EL2: TDRA, TDOSA, TDA, TDE, TPM
    msr     mdcr_el2, x1
    ldr     x1, =0xc01037ff         // CPTR_EL2: all traps
    msr     cptr_el2, x1
    msr     cnthctl_el2, xzr

    msr     cntv_cval_el0, xzr
    msr     cntv_ctl_el0, x4
    msr     cntp_cval_el0, xzr
    msr     cntp_ctl_el0, x4
    msr     cnthp_cval_el2, xzr
    msr     cnthp_ctl_el2, x4

    msr     ttbr0_el1, x2
    msr     ttbr1_el1, x2
    msr     tcr_el1, x2
    msr     mair_el1, x2
    msr     vbar_el1, x2
    msr     sp_el1, x2
    msr     elr_el1, x2
    msr     cpacr_el1, xzr
    msr     contextidr_el1, x2
    msr     tpidr_el1, x2
    msr     cntkctl_el1, x3
    ldr     x1, =0x30d01805         // SCTLR_EL1: MMU and caches on
    msr     sctlr_el1, x1
    msr     dbgbvr0_el1, xzr
    ldr     x1, =0x1e7              // DBGBCR0_EL1: on, at EL0 and EL1
    msr     dbgbcr0_el1, x1
    ldr     x1, =0xa001             // MDSCR_EL1: MDE, KDE, SS
    msr     mdscr_el1, x1
    msr     oslar_el1, xzr

    mrs     x1, id_aa64mmfr0_el1    // fine-grained traps
    ubfx    x1, x1, #56, #4
    cbz     x1, 1f
    msr     s3_4_c1_c1_4, x3        // HFGRTR_EL2
    msr     s3_4_c1_c1_5, x3        // HFGWTR_EL2
    msr     s3_4_c1_c1_6, x3        // HFGITR_EL2
    msr     s3_4_c3_c1_4, x3        // HDFGRTR_EL2
    msr     s3_4_c3_c1_5, x3        // HDFGWTR_EL2
1:
    mrs     x1, id_aa64pfr0_el1
    ubfx    x1, x1, #24, #4
    cbz     x1, poison_gicv2

    mov     x1, #0xf                // ICC_SRE_EL2
    msr     s3_4_c12_c9_5, x1
    isb
    ldr     x1, =0x500000000000001b // pending, group 1, INTID 27
    msr     s3_4_c12_c12_0, x1      // ICH_LR0_EL2
    ldr     x1, =0x9000000000000021 // active, group 1, INTID 33
    msr     s3_4_c12_c12_1, x1
    ldr     x1, =0xf00000000021001e // pending and active, of the hardware's INTID 33, INTID 30
    msr     s3_4_c12_c12_2, x1
    msr     s3_4_c12_c8_0, x3       // ICH_AP0R0_EL2
    msr     s3_4_c12_c9_0, x3       // ICH_AP1R0_EL2
    msr     s3_4_c12_c11_7, x3      // ICH_VMCR_EL2
    mov     x1, #0xff               // ICH_HCR_EL2: all maintenance interrupts
    msr     s3_4_c12_c11_0, x1
    msr     s3_0_c4_c6_0, xzr       // ICC_PMR_EL1
    msr     s3_0_c12_c12_7, x4      // ICC_IGRPEN1_EL1
    msr     s3_0_c12_c9_0, x3       // ICC_AP1R0_EL1
    isb
    mrs     x1, mpidr_el1
    and     x1, x1, #0xff
    ldr     x5, =(GICR + 0x10000)
    add     x5, x5, x1, lsl #17
    mov     w6, #-1
    str     w6, [x5, #0x100]        // GICR_ISENABLER0
    str     w6, [x5, #0x200]        // GICR_ISPENDR0
    str     w6, [x5, #0x300]        // GICR_ISACTIVER0
    b       2f

poison_gicv2:
    ldr     x5, =GICD
    mov     w6, #-1
    str     w6, [x5, #0x100]        // GICD_ISENABLER0
    str     w6, [x5, #0x200]        // GICD_ISPENDR0
    str     w6, [x5, #0x300]        // GICD_ISACTIVER0
    str     w6, [x5, #0xf20]        // GICD_SPENDSGIR0
    ldr     x5, =GICC
    mov     w7, #1
    str     w7, [x5]                // GICC_CTLR
    str     w6, [x5, #0xd0]         // GICC_APR0
    ldr     x5, =GICH
    ldr     w7, =0x5000001b         // pending, group 1, INTID 27
    str     w7, [x5, #0x100]        // GICH_LR0
    ldr     w7, =0x60000021         // active, group 1, INTID 33
    str     w7, [x5, #0x104]
    str     w6, [x5, #0xf0]         // GICH_APR
    str     w6, [x5, #8]            // GICH_VMCR
    mov     w7, #0xff
    str     w7, [x5]                // GICH_HCR
2:
    dsb     sy
    // Last: with E2H the names of EL1's registers, and the timers', are EL2's.
    ldr     x1, =0x40c00003f        // HCR_EL2: E2H, TGE, VM and more; not RW
    orr     x1, x1, #(1 << 27)
    msr     hcr_el2, x1
    isb
    msr     spsel, #0
9:  ret

// What a firmware may leave out on all cores but the first. Where EL2 is the highest exception level it can be played.
// Clobbers x1.
poison_frequency:
    mrs     x1, id_aa64pfr0_el1
    tst     x1, #0xf000             // EL3
    b.ne    1f
    msr     cntfrq_el0, xzr
1:  ret

// What all cores share: the distributor, the image's memory that is not loaded, and the device tree (x0), which it moves
// to where it lies in two gibibytes. The first core's alone.
poison_shared:
    ldr     x5, =GICD
    mov     w6, #-1
    mov     x7, #4                  // SPIs from INTID 32 to 127
1:  add     x8, x5, x7
    str     w6, [x8, #0x080]        // GICD_IGROUPRn
    str     w6, [x8, #0x100]        // GICD_ISENABLERn
    str     w6, [x8, #0x200]        // GICD_ISPENDRn
    str     w6, [x8, #0x300]        // GICD_ISACTIVERn
    add     x7, x7, #4
    cmp     x7, #16
    b.lo    1b
    ldr     w6, =0x13               // GICD_CTLR: on
    str     w6, [x5]
    adrp    x5, __bss_start
    adrp    x6, __image_end
    ldr     x7, =0xdeadbeefdeadbee8
2:  str     x7, [x5], #8
    cmp     x5, x6
    b.lo    2b
    ldr     w5, [x0, #4]            // totalsize
    rev     w5, w5
    ldr     x6, =0x7ffff000
    mov     x7, x0
    mov     x0, x6
3:  ldr     x8, [x7], #8
    str     x8, [x6], #8
    subs    x5, x5, #8
    b.hi    3b
    ret
