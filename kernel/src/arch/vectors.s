// SPDX-License-Identifier: MIT OR Apache-2.0

// World switch and the EL2 exception vectors.

// x2 to x29 in the GuestRegs at `base`.
.macro guest_pairs op, base
    \op     x2, x3, [\base, #16]
    \op     x4, x5, [\base, #32]
    \op     x6, x7, [\base, #48]
    \op     x8, x9, [\base, #64]
    \op     x10, x11, [\base, #80]
    \op     x12, x13, [\base, #96]
    \op     x14, x15, [\base, #112]
    \op     x16, x17, [\base, #128]
    \op     x18, x19, [\base, #144]
    \op     x20, x21, [\base, #160]
    \op     x22, x23, [\base, #176]
    \op     x24, x25, [\base, #192]
    \op     x26, x27, [\base, #208]
    \op     x28, x29, [\base, #224]
.endm

// x19 to x28 in the frame of enter_guest.
.macro callee_saved op
    \op     x19, x20, [sp, #16]
    \op     x21, x22, [sp, #32]
    \op     x23, x24, [sp, #48]
    \op     x25, x26, [sp, #64]
    \op     x27, x28, [sp, #80]
.endm

// u64 enter_guest(GuestRegs *regs): runs the guest until it traps; returns the vector's number
// among the four of the guest's execution state.
// The callee-saved registers and `regs` stay on the stack while the guest runs.
.global enter_guest
enter_guest:
    stp     x29, x30, [sp, #-112]!
    callee_saved stp
    str     x0, [sp, #96]
    ldp     x1, x2, [x0, #248]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    guest_pairs ldp, x0
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    // Nothing is speculated past the ERET (Spectre-style straight-line speculation).
    dsb     nsh
    isb

guest_exit:
    ldr     x1, [sp, #112]
    guest_pairs stp, x1
    str     x30, [x1, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x1]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x1, #248]
    callee_saved ldp
    ldp     x29, x30, [sp], #112
    ret

.macro from_guest number
.balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x0, #\number
    b       guest_exit
.endm

// EL2 itself never takes an exception in normal work: interrupts stay masked.
// The stack may be what broke, so the report runs on the core's emergency stack.
.macro from_el2 number
.balign 128
    mov     x0, #\number
    b       el2_fault
.endm

el2_fault:
    mrs     x1, tpidr_el2
    cbz     x1, 1f
    ldr     x1, [x1]
    mov     sp, x1
1:  mrs     x1, esr_el2
    mrs     x2, elr_el2
    mrs     x3, far_el2
    b       el2_exception

.balign 2048
.global exception_vectors
exception_vectors:
    from_el2 0
    from_el2 1
    from_el2 2
    from_el2 3
    from_el2 4
    from_el2 5
    from_el2 6
    from_el2 7
    from_guest 0
    from_guest 1
    from_guest 2
    from_guest 3
    from_guest 0
    from_guest 1
    from_guest 2
    from_guest 3
