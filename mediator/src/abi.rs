// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers of the OP-TEE normal-world ABI: `optee_smc.h`, `optee_msg.h` and
//! `optee_rpc_cmd.h` of OP-TEE 4.5 to 4.10, and the GlobalPlatform results they carry.
//!
//! Function ids are SMC32: they are compared with the low 32 bits of x0 (DEN0028, section 3.1).

/// SMC function ids.
pub mod func {
    /// Number of calls the API has.
    pub const CALLS_COUNT: u32 = 0xBF00_FF00;
    /// UID of the API.
    pub const CALLS_UID: u32 = 0xBF00_FF01;
    /// Major and minor revision of the API.
    pub const CALLS_REVISION: u32 = 0xBF00_FF03;
    /// UUID of the trusted OS.
    pub const GET_OS_UUID: u32 = 0xB200_0000;
    /// Revision of the trusted OS.
    pub const GET_OS_REVISION: u32 = 0xB200_0001;
    /// Resume a call that OP-TEE suspended.
    pub const CALL_RETURN_FROM_RPC: u32 = 0x3200_0003;
    /// Call with a message; OP-TEE asks for the page of its RPC argument.
    pub const CALL_WITH_ARG: u32 = 0x3200_0004;
    /// The reserved shared memory.
    pub const GET_SHM_CONFIG: u32 = 0xB200_0007;
    /// Capabilities of both worlds.
    pub const EXCHANGE_CAPABILITIES: u32 = 0xB200_0009;
    /// Empty the cache of RPC arguments, one cookie a call.
    pub const DISABLE_SHM_CACHE: u32 = 0xB200_000A;
    /// Let OP-TEE cache RPC arguments.
    pub const ENABLE_SHM_CACHE: u32 = 0xB200_000B;
    /// A guest was created: from the hypervisor only.
    pub const VM_CREATED: u32 = 0xB200_000D;
    /// A guest was destroyed: from the hypervisor only.
    pub const VM_DESTROYED: u32 = 0xB200_000E;
    /// Number of OP-TEE's threads.
    pub const GET_THREAD_COUNT: u32 = 0xB200_000F;
    /// The normal world can take asynchronous notifications.
    pub const ENABLE_ASYNC_NOTIF: u32 = 0xB200_0010;
    /// Take one pending notification.
    pub const GET_ASYNC_NOTIF_VALUE: u32 = 0xB200_0011;
    /// Call with a message and the RPC argument behind it in the same page.
    pub const CALL_WITH_RPC_ARG: u32 = 0x3200_0012;
    /// The same, inside a registered buffer.
    pub const CALL_WITH_REGD_ARG: u32 = 0x3200_0013;
}

/// Return codes in w0.
pub mod ret {
    /// Done; the message holds the result.
    pub const OK: u32 = 0;
    /// No thread is free: call again when another call has ended.
    pub const ETHREAD_LIMIT: u32 = 1;
    /// Nothing to resume by that thread id.
    pub const ERESUME: u32 = 3;
    /// The message is not where the caller says.
    pub const EBADADDR: u32 = 4;
    /// The message's command is unknown.
    pub const EBADCMD: u32 = 5;
    /// Out of memory.
    pub const ENOMEM: u32 = 6;
    /// Not available.
    pub const ENOTAVAIL: u32 = 7;
    /// The function id is unknown (DEN0028, section 5.2).
    pub const UNKNOWN: u32 = 0xFFFF_FFFF;
    /// RPC: give a page for the RPC argument.
    pub const RPC_ALLOC: u32 = 0xFFFF_0000;
    /// RPC: free that page.
    pub const RPC_FREE: u32 = 0xFFFF_0002;
    /// RPC: take a pending interrupt, then resume.
    pub const RPC_FOREIGN_INTR: u32 = 0xFFFF_0004;
    /// RPC: serve the command in the RPC argument.
    pub const RPC_CMD: u32 = 0xFFFF_0005;
}

/// Capability bits of the secure world, in w1 of EXCHANGE_CAPABILITIES.
pub mod cap {
    /// Buffers of any normal-world page, by registration.
    pub const DYNAMIC_SHM: u32 = 1 << 2;
    /// Built for several guests.
    pub const VIRTUALIZATION: u32 = 1 << 3;
    /// NULL memory references.
    pub const MEMREF_NULL: u32 = 1 << 4;
    /// Asynchronous notifications.
    pub const ASYNC_NOTIF: u32 = 1 << 5;
    /// The caller supplies the RPC argument.
    pub const RPC_ARG: u32 = 1 << 6;
    /// RPMB devices are probed through RPC.
    pub const RPMB_PROBE: u32 = 1 << 7;
}

/// Commands of a message.
pub mod cmd {
    /// Open a session with a trusted application.
    pub const OPEN_SESSION: u32 = 0;
    /// Invoke a command in a session.
    pub const INVOKE: u32 = 1;
    /// Close a session.
    pub const CLOSE_SESSION: u32 = 2;
    /// Cancel a running command.
    pub const CANCEL: u32 = 3;
    /// Register a buffer.
    pub const REGISTER_SHM: u32 = 4;
    /// Forget a registered buffer.
    pub const UNREGISTER_SHM: u32 = 5;
    /// Run the bottom halves of OP-TEE's drivers.
    pub const DO_BOTTOM_HALF: u32 = 6;
    /// No more asynchronous notifications.
    pub const STOP_ASYNC_NOTIF: u32 = 7;
    /// Lend protected memory: carries a raw physical address.
    pub const LEND_PROTMEM: u32 = 8;
}

/// Commands of an RPC argument.
pub mod rpc {
    /// Load a trusted application.
    pub const LOAD_TA: u32 = 0;
    /// RPMB: frames for the one device that tee-supplicant names.
    pub const RPMB: u32 = 1;
    /// File system.
    pub const FS: u32 = 2;
    /// Wall-clock time.
    pub const GET_TIME: u32 = 3;
    /// Sleep for some milliseconds.
    pub const SUSPEND: u32 = 5;
    /// Allocate a buffer.
    pub const SHM_ALLOC: u32 = 6;
    /// Free a buffer of SHM_ALLOC.
    pub const SHM_FREE: u32 = 7;
    /// Profiling data of a trusted application.
    pub const GPROF: u32 = 9;
    /// Plugins of tee-supplicant.
    pub const PLUGIN: u32 = 12;
    /// Register a benchmark buffer: carries a raw physical address.
    pub const BENCH_REG: u32 = 20;
    /// I2C transfers.
    pub const I2C: u32 = 21;
    /// RPMB: begin to look for devices.
    pub const RPMB_PROBE_RESET: u32 = 22;
    /// RPMB: frames for the probed device.
    pub const RPMB_FRAMES: u32 = 24;
}

/// Parameter attributes.
pub mod attr {
    /// Input value.
    pub const VALUE_IN: u64 = 1;
    /// Input and output value, the highest type without memory.
    pub const VALUE_INOUT: u64 = 3;
    /// Mask of the type.
    pub const TYPE: u64 = 0xff;
    /// The parameter belongs to the command, not to the application.
    pub const META: u64 = 1 << 8;
    /// The address names a list of pages.
    pub const NONCONTIG: u64 = 1 << 9;
    /// Mask of the cache type.
    pub const CACHE: u64 = 7 << 16;
    /// Registered memory, read.
    pub const RMEM_IN: u64 = 5;
    /// Output memory by address.
    pub const TMEM_OUT: u64 = 0xa;
}

/// GlobalPlatform results and origins (GPD_SPE_010, section 4.1 and 4.6.1).
pub mod tee {
    /// Success.
    pub const SUCCESS: u32 = 0;
    /// No more precise reason.
    pub const GENERIC: u32 = 0xFFFF_0000;
    /// Refused by policy.
    pub const ACCESS_DENIED: u32 = 0xFFFF_0001;
    /// The parameters are wrong.
    pub const BAD_PARAMETERS: u32 = 0xFFFF_0006;
    /// Not supported.
    pub const NOT_SUPPORTED: u32 = 0xFFFF_000A;
    /// Out of memory, or beyond a quota.
    pub const OUT_OF_MEMORY: u32 = 0xFFFF_000C;
    /// The other side could not be reached.
    pub const COMMUNICATION: u32 = 0xFFFF_000E;
    /// There is no such storage (GPD_SPE_010, table 3-7).
    pub const STORAGE_NOT_AVAILABLE: u32 = 0xF010_0003;
    /// Origin: the way between client and TEE, where the mediator stands.
    pub const ORIGIN_COMMS: u32 = 2;
}

/// Parameters of an RPC argument: what OP-TEE uses and EXCHANGE_CAPABILITIES says in w3.
pub const RPC_PARAMS: usize = 4;
/// 64-bit words in front of the parameters of a message.
pub const HEADER_WORDS: usize = 4;
/// 64-bit words of a parameter.
pub const PARAM_WORDS: usize = 4;
/// Page addresses in one page of a page list; the last word links to the next page.
pub const LIST_ENTRIES: usize = 511;
/// Bytes of an RPC argument.
pub const RPC_ARG_BYTES: u64 = 8 * (HEADER_WORDS + RPC_PARAMS * PARAM_WORDS) as u64;
