// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers of the OP-TEE normal-world ABI: `optee_smc.h`, `optee_msg.h` and
//! `optee_rpc_cmd.h` of OP-TEE 4.5 to 4.10, and the GlobalPlatform results they carry.
//!
//! Function ids are SMC32: they are compared with the low 32 bits of x0 (DEN0028, section 3.1).
#![no_std]
#![forbid(unsafe_code)]

mod header;

use core::fmt;

pub use header::{Header, RESULT_WORD, high, low, outcome, pack};

/// Declares a 32-bit number of the ABI whose known values have names, which it shows.
macro_rules! named {
    ($(#[$doc:meta])* $type:ident { $($(#[$about:meta])* $name:ident = $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
        #[repr(transparent)]
        pub struct $type(pub u32);

        impl $type {
            $($(#[$about])* pub const $name: Self = Self($value);)*

            /// Takes the number out of a register, of which the low 32 bits count.
            #[inline]
            pub const fn of(register: u64) -> Self {
                Self(register as u32)
            }

            /// Gives the name, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        impl From<u32> for $type {
            #[inline]
            fn from(number: u32) -> Self {
                Self(number)
            }
        }

        impl From<$type> for u64 {
            #[inline]
            fn from(number: $type) -> u64 {
                number.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(f, self.name(), self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(f, self.name(), self.0)
            }
        }
    };
}

/// Shows a number after its name.
fn show(f: &mut fmt::Formatter<'_>, name: Option<&str>, number: u32) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{name} ({number:#x})"),
        None => write!(f, "{number:#x}"),
    }
}

named! {
    /// Function id of an SMC to OP-TEE (`optee_smc.h`: `OPTEE_SMC_*`).
    Function {
        /// Number of calls the API has.
        CALLS_COUNT = 0xBF00_FF00;
        /// UID of the API.
        CALLS_UID = 0xBF00_FF01;
        /// Major and minor revision of the API.
        CALLS_REVISION = 0xBF00_FF03;
        /// UUID of the trusted OS.
        GET_OS_UUID = 0xB200_0000;
        /// Revision of the trusted OS.
        GET_OS_REVISION = 0xB200_0001;
        /// Resume a call that OP-TEE suspended.
        CALL_RETURN_FROM_RPC = 0x3200_0003;
        /// Call with a message; OP-TEE asks for the page of its RPC argument.
        CALL_WITH_ARG = 0x3200_0004;
        /// The reserved shared memory.
        GET_SHM_CONFIG = 0xB200_0007;
        /// Capabilities of both worlds.
        EXCHANGE_CAPABILITIES = 0xB200_0009;
        /// Empty the cache of RPC arguments, one cookie a call.
        DISABLE_SHM_CACHE = 0xB200_000A;
        /// Let OP-TEE cache RPC arguments.
        ENABLE_SHM_CACHE = 0xB200_000B;
        /// A guest was created: from the hypervisor only.
        VM_CREATED = 0xB200_000D;
        /// A guest was destroyed: from the hypervisor only.
        VM_DESTROYED = 0xB200_000E;
        /// Number of OP-TEE's threads.
        GET_THREAD_COUNT = 0xB200_000F;
        /// The normal world can take asynchronous notifications.
        ENABLE_ASYNC_NOTIF = 0xB200_0010;
        /// Take one pending notification.
        GET_ASYNC_NOTIF_VALUE = 0xB200_0011;
        /// Call with a message and the RPC argument behind it in the same page.
        CALL_WITH_RPC_ARG = 0x3200_0012;
        /// The same, inside a registered buffer.
        CALL_WITH_REGD_ARG = 0x3200_0013;
    }
}

named! {
    /// What OP-TEE puts into w0 (`optee_smc.h`: `OPTEE_SMC_RETURN_*`): how a call ended, or which RPC is to be served before it
    /// goes on.
    ReturnCode {
        /// Done; the message holds the result.
        OK = 0;
        /// No thread is free: call again when another call has ended.
        ETHREAD_LIMIT = 1;
        /// Not while calls are under way.
        EBUSY = 2;
        /// Nothing to resume by that thread id.
        ERESUME = 3;
        /// The message is not where the caller says.
        EBADADDR = 4;
        /// The message's command is unknown.
        EBADCMD = 5;
        /// Out of memory.
        ENOMEM = 6;
        /// Not available.
        ENOTAVAIL = 7;
        /// The function id is unknown (DEN0028, section 5.2).
        UNKNOWN = 0xFFFF_FFFF;
        /// RPC: give a page for the RPC argument.
        RPC_ALLOC = 0xFFFF_0000;
        /// RPC: free that page.
        RPC_FREE = 0xFFFF_0002;
        /// RPC: take a pending interrupt, then resume.
        RPC_FOREIGN_INTR = 0xFFFF_0004;
        /// RPC: serve the command in the RPC argument.
        RPC_CMD = 0xFFFF_0005;
    }
}

impl ReturnCode {
    /// Tells whether OP-TEE has an RPC to be served, and has suspended the call (`OPTEE_SMC_RETURN_IS_RPC`).
    #[inline]
    pub const fn is_rpc(self) -> bool {
        self.0 >= Self::RPC_ALLOC.0 && self.0 != Self::UNKNOWN.0
    }
}

impl RpcCommand {
    /// Tells whether it is about the board's RPMB.
    #[inline]
    pub const fn is_for_rpmb(self) -> bool {
        matches!(
            self,
            Self::RPMB | Self::RPMB_PROBE_RESET | Self::RPMB_PROBE_NEXT | Self::RPMB_FRAMES
        )
    }

    /// Tells whether a guest may serve it: it names no physical address.
    #[inline]
    pub const fn is_for_guests(self) -> bool {
        self.name().is_some() && !matches!(self, Self::BENCH_REG)
    }
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

named! {
    /// Command of a message (`optee_msg.h`: `OPTEE_MSG_CMD_*`).
    Command {
        /// Open a session with a trusted application.
        OPEN_SESSION = 0;
        /// Invoke a command in a session.
        INVOKE = 1;
        /// Close a session.
        CLOSE_SESSION = 2;
        /// Cancel a running command.
        CANCEL = 3;
        /// Register a buffer.
        REGISTER_SHM = 4;
        /// Forget a registered buffer.
        UNREGISTER_SHM = 5;
        /// Run the bottom halves of OP-TEE's drivers.
        DO_BOTTOM_HALF = 6;
        /// No more asynchronous notifications.
        STOP_ASYNC_NOTIF = 7;
        /// Lend protected memory: carries a raw physical address.
        LEND_PROTMEM = 8;
        /// Take lent protected memory back.
        RECLAIM_PROTMEM = 9;
        /// What protected memory of a use must be like.
        GET_PROTMEM_CONFIG = 10;
        /// Give protected memory to a use.
        ASSIGN_PROTMEM = 11;
    }
}

named! {
    /// Command of an RPC argument (`optee_msg.h`, `optee_rpc_cmd.h`: `OPTEE_RPC_CMD_*`).
    RpcCommand {
        /// Load a trusted application.
        LOAD_TA = 0;
        /// RPMB: frames for the one device that tee-supplicant names.
        RPMB = 1;
        /// File system.
        FS = 2;
        /// Wall-clock time.
        GET_TIME = 3;
        /// Wait for, or wake, another call.
        NOTIFICATION = 4;
        /// Sleep for some milliseconds.
        SUSPEND = 5;
        /// Allocate a buffer.
        SHM_ALLOC = 6;
        /// Free a buffer of SHM_ALLOC.
        SHM_FREE = 7;
        /// Profiling data of a trusted application.
        GPROF = 9;
        /// Sockets.
        SOCKET = 10;
        /// Traces of a trusted application.
        FTRACE = 11;
        /// Plugins of tee-supplicant.
        PLUGIN = 12;
        /// Register a benchmark buffer: carries a raw physical address.
        BENCH_REG = 20;
        /// I2C transfers.
        I2C = 21;
        /// RPMB: begin to look for devices.
        RPMB_PROBE_RESET = 22;
        /// RPMB: look for the next device.
        RPMB_PROBE_NEXT = 23;
        /// RPMB: frames for the probed device.
        RPMB_FRAMES = 24;
    }
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

named! {
    /// Result of a message or of an RPC: `TEE_Result` (GlobalPlatform GPD_SPE_010, section 4.1).
    TeeResult {
        /// Success.
        SUCCESS = 0;
        /// No more precise reason.
        GENERIC = 0xFFFF_0000;
        /// Refused by policy.
        ACCESS_DENIED = 0xFFFF_0001;
        /// The parameters are wrong.
        BAD_PARAMETERS = 0xFFFF_0006;
        /// Not supported.
        NOT_SUPPORTED = 0xFFFF_000A;
        /// Out of memory, or beyond a quota.
        OUT_OF_MEMORY = 0xFFFF_000C;
        /// The other side could not be reached.
        COMMUNICATION = 0xFFFF_000E;
        /// There is no such storage (GPD_SPE_010, table 3-7).
        STORAGE_NOT_AVAILABLE = 0xF010_0003;
    }
}

named! {
    /// Who made a result: `ret_origin` (GlobalPlatform GPD_SPE_010, section 4.6.1).
    Origin {
        /// The client's library.
        API = 1;
        /// The way between client and TEE, where the mediator stands.
        COMMS = 2;
        /// The TEE.
        TEE = 3;
        /// The trusted application.
        TRUSTED_APP = 4;
    }
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
