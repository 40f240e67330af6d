// SPDX-License-Identifier: MIT OR Apache-2.0

// What firmware may leave behind, at its worst: every register of EL2 whose reset value the architecture calls
// UNKNOWN, timers that have fired, an interrupt controller in the middle of things, garbage where zeros are
// expected. For tests on QEMU's virt alone, whose GIC is at these addresses.

.set GICD, 0x08000000
.set GICR, 0x080a0000
.set GICC, 0x08010000
.set GICH, 0x08030000
.set RTC, 0x09010000
// Where LPIs are configured, and pending: RAM below the device tree.
.set PROPERTIES, 0x7ffe0000
.set PENDING, 0x7fff0000
// IDbits, and in PENDING the byte of the first LPI, INTID 8192.
.set LPI_BITS, 13
.set FIRST_LPI, 1024

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
    ldr     x1, =0x84fe1            // MDCR_EL2: all traps, HPME, one counter to EL1
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
    mrs     x1, id_aa64mmfr1_el1
    ubfx    x1, x1, #8, #4          // VH
    cbz     x1, 1f
    msr     s3_4_c14_c3_2, xzr      // CNTHV_CVAL_EL2
    msr     s3_4_c14_c3_1, x4       // CNTHV_CTL_EL2
1:
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
    ubfx    x5, x1, #28, #4         // RAS
    cbz     x5, 1f
    mov     x5, #(1 << 31)          // A: an SError was deferred
    msr     s3_0_c12_c1_1, x5       // DISR_EL1
    msr     s3_4_c12_c1_1, x5       // VDISR_EL2
    msr     s3_4_c5_c2_3, x2        // VSESR_EL2
1:  ubfx    x1, x1, #24, #4
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
    ldr     x1, =0x5000000000002000 // pending, group 1, INTID 8192, which no guest has
    msr     s3_4_c12_c12_3, x1
    msr     s3_4_c12_c8_0, x3       // ICH_AP0R0_EL2
    msr     s3_4_c12_c9_0, x3       // ICH_AP1R0_EL2
    msr     s3_4_c12_c11_7, x3      // ICH_VMCR_EL2
    mov     x1, #0xff               // ICH_HCR_EL2: all maintenance interrupts
    msr     s3_4_c12_c11_0, x1
    msr     s3_0_c4_c6_0, xzr       // ICC_PMR_EL1
    msr     s3_0_c12_c12_7, x4      // ICC_IGRPEN1_EL1
    msr     s3_0_c12_c9_0, x3       // ICC_AP1R0_EL1
    msr     s3_0_c12_c12_3, x3      // ICC_BPR1_EL1
    isb
    mrs     x1, mpidr_el1
    and     x1, x1, #0xff
    ldr     x5, =GICR
    add     x5, x5, x1, lsl #17
    mov     x8, x30
    bl      enable_lpis
    mov     x30, x8
    add     x5, x5, #0x10000
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
    str     w6, [x5, #0xf20]        // GICD_SPENDSGIRn
    str     w6, [x5, #0xf24]
    str     w6, [x5, #0xf28]
    str     w6, [x5, #0xf2c]
    ldr     x5, =GICC
    mov     w7, #1
    str     w7, [x5]                // GICC_CTLR
    str     wzr, [x5, #4]           // GICC_PMR
    str     w6, [x5, #8]            // GICC_BPR
    str     w6, [x5, #0xd0]         // GICC_APR0
    ldr     x5, =GICH
    ldr     w7, =0x5000001b         // pending, group 1, INTID 27
    str     w7, [x5, #0x100]        // GICH_LR0
    ldr     w7, =0x60000021         // active, group 1, INTID 33
    str     w7, [x5, #0x104]
    ldr     w7, =0xf000841e         // pending and active, of the hardware's INTID 33, INTID 30
    str     w7, [x5, #0x108]
    ldr     w7, =0x50000064         // pending, group 1, INTID 100
    str     w7, [x5, #0x10c]
    str     w6, [x5, #0xf0]         // GICH_APR
    str     w6, [x5, #8]            // GICH_VMCR
    mov     w7, #0xff
    str     w7, [x5]                // GICH_HCR
2:
    dsb     sy
    // Behind the last load and store.
    ldr     x1, =0x32cd183a         // SCTLR_EL2: EE, WXN, I, SA, A; M and C off by the boot protocol
    msr     sctlr_el2, x1
    // Last: with E2H the names of EL1's registers, and the timers', are EL2's.
    mov     x1, #~(1 << 31)         // HCR_EL2: all but RW
    msr     hcr_el2, x1
    isb
    mov     sp, x2
    msr     spsel, #0
    mov     sp, x2
    mrs     x1, id_aa64mmfr1_el1
    tst     x1, #0xf00000           // PAN
    b.eq    8f
    .inst   0xd500419f              // MSR PAN, #1
8:  msr     daifclr, #5             // A and F: the others would have come by now
9:  ret

// x5 = a core's GICR, which has LPIs turned on if it knows them; the first is pending. Clobbers x6, x7.
enable_lpis:
    ldr     w6, [x5, #8]            // GICR_TYPER
    tbz     w6, #0, 1f              // PLPIS
    ldr     x7, =PROPERTIES
    mov     w6, #0xa1               // enabled, of the priority that EL2 gives to all
    strb    w6, [x7]
    add     x6, x7, #LPI_BITS
    str     x6, [x5, #0x70]         // GICR_PROPBASER
    ldr     x7, =PENDING
    str     x7, [x5, #0x78]         // GICR_PENDBASER
    mov     w6, #1
    strb    w6, [x7, #FIRST_LPI]
    dsb     sy
    str     w6, [x5]                // GICR_CTLR: EnableLPIs
    dsb     sy
1:  ret

// What can be played where EL2 is the highest exception level, before another core than the first begins: CNTFRQ_EL0 is
// left out; the first core, which is in EL2 for long, is sent an LPI, and an SPI whose level stays: the clock's alarm.
// Clobbers x1, x5-x8.
poison_alone:
    mrs     x1, id_aa64pfr0_el1
    tst     x1, #0xf000             // EL3
    b.ne    1f
    msr     cntfrq_el0, xzr
    tst     x1, #0xf000000          // GIC
    b.eq    1f
    mrs     x1, mpidr_el1
    and     x1, x1, #0xff
    cmp     x1, #1                  // once
    b.ne    1f
    ldr     x5, =GICR
    mov     x8, x30
    bl      enable_lpis
    mov     x30, x8
    ldr     x5, =RTC
    ldr     w6, [x5]                // RTCDR
    str     w6, [x5, #4]            // RTCMR
    mov     w6, #1
    str     w6, [x5, #0x10]         // RTCIMSC
    ldr     x5, =GICD
    mov     w6, #(1 << 2)           // INTID 34
    str     w6, [x5, #0x104]        // GICD_ISENABLER1
    dsb     sy
1:  ret

// What all cores share: the distributor, the image's memory that is not loaded, and the device tree (x0), which it moves
// to where it lies in two gibibytes. The first core's alone.
poison_shared:
    ldr     x5, =GICD
    mov     w6, #-1
    mov     x7, #4                  // all SPIs: INTID 32 to 287
1:  add     x8, x5, x7
    str     w6, [x8, #0x080]        // GICD_IGROUPRn
    str     w6, [x8, #0x100]        // GICD_ISENABLERn
    str     w6, [x8, #0x200]        // GICD_ISPENDRn
    str     w6, [x8, #0x300]        // GICD_ISACTIVERn
    add     x7, x7, #4
    cmp     x7, #36
    b.lo    1b
    ldr     w6, =0x13               // GICD_CTLR: on
    str     w6, [x5]
    adrp    x5, __bss_start
    adrp    x6, __image_end
    ldr     x7, =0xdeadbeefdeadbee8
2:  str     x7, [x5], #8
    cmp     x5, x6
    b.lo    2b
    lsr     x5, x0, #30             // that is no RAM: the test says that there is no tree
    cbz     x5, 4f
    ldr     w5, [x0, #4]            // totalsize
    rev     w5, w5
    ldr     x6, =0x7ffff000
    mov     x7, x0
    mov     x0, x6
3:  ldr     x8, [x7], #8
    str     x8, [x6], #8
    subs    x5, x5, #8
    b.hi    3b
4:  ret
