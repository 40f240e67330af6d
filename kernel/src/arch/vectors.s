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

.macro from_guest number, then
.balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x0, #\number
    b       \then
.endm

// What the core's EntryWork says, before anything branches by a register: x0 is kept, x1 lost. The offsets are
// CoreBlock's in `cpu.rs`.
guest_exit_with_work:
    stp     x2, x3, [sp, #-32]!
    str     x0, [sp, #16]
    mrs     x1, tpidr_el2
    ldr     w0, [x1, #8]
    cbz     w0, 1f
    smc     #0                  // leaves all but x0 to x3
    mrs     x1, tpidr_el2
1:  ldr     w0, [x1, #12]
    cbz     w0, 3f
2:  b       . + 4
    subs    w0, w0, #1
    b.ne    2b
3:  hint    #22                 // CLRBHB; a NOP to cores without it
    dsb     nsh                 // no branch is predicted by what was before
    isb
    ldr     w1, [x1, #16]
    ldr     x0, [sp, #16]
    orr     x0, x0, x1
    ldp     x2, x3, [sp], #32
    b       guest_exit

// EL2 itself never takes an exception in normal work: interrupts stay masked.
// Nor an SError, but in `take_serror`. The stack may be what broke, so the report runs on the core's emergency stack.
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

// u64 take_serror(void): lets this core take the SError that is pending for it; returns its ESR_EL2, or 0 if none
// came. If one did, what a guest's exit has left in ESR_EL2, ELR_EL2, SPSR_EL2, FAR_EL2 and HPFAR_EL2 is gone.
.global take_serror
take_serror:
    mov     x0, xzr
    msr     daifclr, #4
    isb
    msr     daifset, #4
    ret

serror_taken:
    mrs     x0, esr_el2
    mrs     x1, spsr_el2
    orr     x1, x1, #(1 << 8)   // A: one at a time
    msr     spsr_el2, x1
    eret
    dsb     nsh
    isb

.macro vectors then
    from_el2 0
    from_el2 1
    from_el2 2
    from_el2 3
    from_el2 4
    from_el2 5
    from_el2 6
.balign 128
    b       serror_taken
    from_guest 0, \then
    from_guest 1, \then
    from_guest 2, \then
    from_guest 3, \then
    from_guest 0, \then
    from_guest 1, \then
    from_guest 2, \then
    from_guest 3, \then
.endm

.balign 2048
.global exception_vectors
exception_vectors:
    vectors guest_exit

// For a core, or for the exits of a guest, that need more.
.balign 2048
.global exception_vectors_with_work
exception_vectors_with_work:
    vectors guest_exit_with_work
