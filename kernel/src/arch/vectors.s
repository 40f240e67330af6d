// World switch and the EL2 exception vectors.

// u64 enter_guest(GuestRegs *regs): runs the guest until it traps; returns the vector's number.
// The callee-saved registers and `regs` stay on the stack while the guest runs.
.global enter_guest
enter_guest:
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x0, [sp, #96]
    ldp     x1, x2, [x0, #248]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret
    // Nothing is speculated past the ERET (Spectre-style straight-line speculation).
    dsb     nsh
    isb

guest_exit:
    ldr     x0, [sp, #112]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x0, #248]
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    mov     x0, x1
    ret

.macro from_guest number
.balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\number
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
    from_guest 4
    from_guest 5
    from_guest 6
    from_guest 7
