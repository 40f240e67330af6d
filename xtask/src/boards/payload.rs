// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands for a boot loader where TF-A gives its payload no device tree.

/// Returns A64 code that jumps to `image` with x0 = `tree`.
pub fn jump(image: u64, tree: u64) -> Vec<u8> {
    const CODE: [u32; 4] = [
        0x5800_0080, // ldr x0, [pc, #16]
        0x5800_00a1, // ldr x1, [pc, #20]
        0xd61f_0020, // br x1
        0xd503_201f, // nop
    ];
    let code = CODE.iter().flat_map(|word| word.to_le_bytes());
    code.chain(tree.to_le_bytes())
        .chain(image.to_le_bytes())
        .collect()
}
