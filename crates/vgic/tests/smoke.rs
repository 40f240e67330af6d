//! a
use addr::VcpuId;
use vgic::*;
#[test]
fn t() {
    let mut g = Vgic::new(Version::V3, 2, 96, 4);
    let (a, b) = (VcpuId(0), VcpuId(1));
    let _ = g.write(a, Frame::Dist, 0, 4, 0x13);
    let _ = g.write(b, Frame::Redist(b), 0x10100, 4, 0xffff);
    assert_eq!(g.sgi1r(a, 1 << 40 | 3 << 24), VcpuSet::one(b));
    let mut l = Lrs::new();
    g.flush(b, &mut l);
    assert_eq!(l.to_load()[0].to_ich(), 0x5000_0000_0000_0003);
}
