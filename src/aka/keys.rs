//! From CK and IK down: what 5G makes of an AKA run (TS 33.501 Annex A).
//!
//! ```text
//! KDF(key, FC, P0, P1, …) = HMAC-SHA-256(key, FC || P0 || L0 || P1 || L1 || …)           TS 33.220 §B.2
//!
//! RES*  = KDF(CK || IK, 6B, serving network name, RAND, RES), last 128 bits              TS 33.501 §A.4
//! HRES* = SHA-256(RAND || RES*), last 128 bits                                           TS 33.501 §A.5
//! ```
//!
//! XRES* and HXRES* are the same functions of XRES. RES* binds RES to the network that asks; HRES* lets the serving
//! network check it without knowing it beforehand.

use core::fmt::Write;

use arrayvec::ArrayString;
use hmac::{
    Hmac, KeyInit, Mac,
    digest::{Digest, FixedOutput},
};
use sha2::Sha256;

use crate::{crypto::Secret, identity::Plmn};

/// `5G:mnc<MNC>.mcc<MCC>.3gppnetwork.org`, always 32 characters.
pub type ServingNetworkName = ArrayString<32>;

/// FC of RES* (TS 33.501 §A.4).
const FC_RES_STAR: u8 = 0x6b;

/// The name of a 5G serving network, as key derivation takes it: service code and network, with an MNC of two digits
/// padded to three (TS 33.501 §6.1.1.4, TS 24.501 §9.12.1).
pub fn serving_network_name(plmn: &Plmn) -> ServingNetworkName {
    let mut name = ServingNetworkName::new();
    // Cannot fail: a PLMN has three digits and at most three, which make 32 characters.
    let _ = write!(name, "5G:mnc{:0>3}.mcc{}.3gppnetwork.org", plmn.mnc(), plmn.mcc());
    name
}

/// RES* of RES, or XRES* of XRES (TS 33.501 §A.4). RES has 4 to 16 bytes (TS 33.102 §6.3.7); Milenage's has 8.
pub fn res_star<const N: usize>(
    ck: &Secret<16>,
    ik: &Secret<16>,
    serving_network_name: &ServingNetworkName,
    rand: &[u8; 16],
    res: &[u8; N],
) -> [u8; 16] {
    const { assert!(4 <= N && N <= 16, "RES has 32 to 128 bits") };
    let key = ck_ik(ck, ik);
    let out = kdf(&key, FC_RES_STAR, &[serving_network_name.as_bytes(), rand, res]);
    last_half(out.bytes())
}

/// HRES* of RES*, or HXRES* of XRES* (TS 33.501 §A.5).
pub fn hres_star(rand: &[u8; 16], res_star: &[u8; 16]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::new().chain_update(rand).chain_update(res_star).finalize().into();
    last_half(&hash)
}

/// CK ‖ IK, the key of the first step (TS 33.501 §A.2 to §A.4).
fn ck_ik(ck: &Secret<16>, ik: &Secret<16>) -> Secret<32> {
    let mut key = Secret::zeroed();
    for (to, from) in key.bytes_mut().iter_mut().zip(ck.bytes().iter().chain(ik.bytes())) {
        *to = *from;
    }
    key
}

/// The generic key derivation function (TS 33.220 §B.2). Each parameter is shorter than 65,536 bytes.
fn kdf(key: &Secret<32>, fc: u8, parameters: &[&[u8]]) -> Secret<32> {
    // HMAC fills a short key up with zeros to the hash's block (RFC 2104 §2); a whole block cannot have a wrong length.
    let mut block = Secret::<64>::zeroed();
    for (to, from) in block.bytes_mut().iter_mut().zip(key.bytes()) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(block.bytes().into());
    mac.update(&[fc]);
    for parameter in parameters {
        let [.., high, low] = parameter.len().to_be_bytes();
        mac.update(parameter);
        mac.update(&[high, low]);
    }
    let mut out = Secret::zeroed();
    mac.finalize_into(out.bytes_mut().into());
    out
}

/// The 128 least significant bits.
const fn last_half(bytes: &[u8; 32]) -> [u8; 16] {
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, half @ ..] = *bytes;
    half
}
