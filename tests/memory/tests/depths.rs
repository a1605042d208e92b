//! How deep the stack of an operation is, and what it costs to have that much of it overwritten: what the figures in
//! `src/crypto/sweep.rs` were chosen by. Only printed: `cargo test --profile o3 --test depths -- --nocapture`.

use std::{hint::black_box, time::Instant};

use remote_provisioning::{
    aka::{Milenage, Sqn, SqnArray, authenticate, milenage, sqn::Profile, vector},
    crypto::{Aead, Crypto, Group, Secret, rustcrypto::RustCrypto},
    sim::{IDENTITY, SeededRng, identities},
    store::{KeyStore, memory::MemoryKeyStore},
};
use remote_provisioning_memory::{heap, stack::painted};
use zeroize::zeroize_stack;

#[global_allocator]
static ALLOCATOR: heap::Watching = heap::Watching;

fn show<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    // Tables are made at the first use.
    work();
    let (result, left) = painted(&mut work);
    let begun = Instant::now();
    const TIMES: u32 = 50;
    (0..TIMES).for_each(|_| drop(black_box(work())));
    println!("{what}: {} bytes, {} ns", left.len(), (begun.elapsed() / TIMES).as_nanos());
    result
}

#[test]
fn depths() {
    show("overwriting 2 KB", zeroize_stack::<2048>);
    show("overwriting 3 KB", zeroize_stack::<3072>);
    show("overwriting 9 KB", zeroize_stack::<9216>);
    show("overwriting 11 KB", zeroize_stack::<11264>);
    show("overwriting 12 KB", zeroize_stack::<12288>);
    show("sha256", || RustCrypto.sha256(&[b"x"]));
    let mut prk = Secret::zeroed();
    show("extract", || RustCrypto.hkdf_extract(b"salt", b"ikm", &mut prk));
    show("expand", || RustCrypto.hkdf_expand(&prk, &[b"info"], &mut [0; 44]));
    for (aead, key, nonce) in
        [(Aead::A128Gcm, 16, 12), (Aead::A256Gcm, 32, 12), (Aead::Ccm16_64_128, 16, 13), (Aead::Ccm16_128_128, 16, 13)]
    {
        let mut text = Vec::with_capacity(300);
        show(&format!("seal and open 200 bytes, {aead:?}"), || {
            text.clear();
            text.extend([0; 200]);
            RustCrypto.seal(aead, &[3; 32][..key], &[4; 13][..nonce], b"aad", &mut text).unwrap();
            RustCrypto.open(aead, &[3; 32][..key], &[4; 13][..nonce], b"aad", &mut text).unwrap();
        });
    }
    for group in [Group::P256, Group::X25519] {
        let key = show(&format!("generate {group:?}"), || RustCrypto.generate(group, &mut SeededRng::new(1)).unwrap());
        let mut shared = Secret::zeroed();
        show(&format!("encapsulate {group:?}"), || {
            RustCrypto.encapsulate(group, key.public(), &mut SeededRng::new(2), &mut shared).unwrap()
        });
        show(&format!("decapsulate {group:?}"), || RustCrypto.decapsulate(&key, key.public(), &mut shared).unwrap());
    }
    let mut keys = MemoryKeyStore::new();
    show("insert", || keys.insert(IDENTITY, identities::device_key()).unwrap());
    let signature = show("sign", || keys.sign(IDENTITY, b"message").unwrap());
    let public = keys.public_key(IDENTITY).unwrap();
    show("verify", || RustCrypto.verify(&public, b"message", &signature).unwrap());
    let secret = || Secret::from_slice(&[0x42; 16]).unwrap();
    let set = show("Milenage::new", || Milenage::new(&secret(), &secret()));
    show("OPc", || milenage::opc(&secret(), &secret()));
    let vector = show("vector", || vector(&set, &[7; 16], Sqn::from_bytes([0, 0, 0, 0, 1, 0]), [0x80, 0]));
    show("USIM", || authenticate(&set, &mut SqnArray::new(Profile::default()), &vector.challenge));
}
