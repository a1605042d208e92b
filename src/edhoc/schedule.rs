//! Transcript hashes and the key schedule (RFC 9528 §4), as pure functions from one step's values to the next one's.
//!
//! ```text
//! G_XY ─▶ PRK_2e ─▶ PRK_3e2m ─▶ PRK_4e3m ─▶ PRK_out ─▶ PRK_exporter
//!           │  ▲       │  ▲        │
//!   KEYSTREAM_2│    K_3/IV_3│   K_4/IV_4, MAC_3
//!           TH_2 ─▶ TH_3 ─▶ TH_4              (G_RX and G_IY enter at the second and third arrow where a side
//!                                              authenticates with static Diffie-Hellman)
//! ```

use alloc::vec::Vec;

use arrayvec::ArrayVec;

use crate::{
    cose::encrypt0::enc_structure,
    crypto::{Crypto, HASH_LEN, Hash, Secret, SecretBytes},
    edhoc::{Suite, token},
    error::{Backend, Error},
    wire::{self, Writer},
};

/// Most parts of a context: those of [`MacContext`].
const MAX_PARTS: usize = 6;

/// The head of a byte string that holds a hash.
const HASH_HEAD: &[u8] = &[0x58, 0x20];

/// A pseudorandom key of the schedule.
pub(super) type Prk = Secret<HASH_LEN>;

/// `info_label` of EDHOC_KDF (RFC 9528 §4.1.2, table 5).
#[derive(Clone, Copy)]
pub(super) enum Label {
    Keystream2 = 0,
    Salt3e2m = 1,
    Mac2 = 2,
    K3 = 3,
    Iv3 = 4,
    Salt4e3m = 5,
    Mac3 = 6,
    PrkOut = 7,
    K4 = 8,
    Iv4 = 9,
    PrkExporter = 10,
    KeyUpdate = 11,
}

/// EDHOC_KDF: HKDF-Expand over `info = (info_label, context, length)` (RFC 9528 §4.1.2).
///
/// The context comes in parts, at most [`MAX_PARTS`].
pub(super) fn kdf(
    prk: &Prk,
    label: Label,
    context: &[&[u8]],
    out: &mut [u8],
    crypto: &dyn Crypto,
) -> Result<(), Backend> {
    #[expect(clippy::as_conversions, reason = "reads the discriminant of a fieldless enum")]
    kdf_label(prk, label as u64, context, out, crypto)
}

/// EDHOC_KDF with a label of the exporter's range.
pub(super) fn kdf_label(
    prk: &Prk,
    label: u64,
    context: &[&[u8]],
    out: &mut [u8],
    crypto: &dyn Crypto,
) -> Result<(), Backend> {
    let length = u64::try_from(out.len()).map_err(|_| Backend::Crypto)?;
    let write_head = |w: &mut Writer<'_>| {
        w.unsigned(label);
        w.bytes_head(context.iter().map(|part| part.len()).sum());
    };
    let around = wire::encode_with(|w| {
        write_head(w);
        w.unsigned(length);
    });
    let (head, tail) = around.split_at_checked(wire::len_of(write_head)).ok_or(Backend::Crypto)?;
    let mut info: ArrayVec<&[u8], { MAX_PARTS + 2 }> = ArrayVec::new();
    for part in [head].iter().chain(context).chain(&[tail]) {
        info.try_push(part).map_err(|_| Backend::Crypto)?;
    }
    crypto.hkdf_expand(prk, &info, out)
}

/// EDHOC_KDF into a new pseudorandom key.
pub(super) fn kdf_prk(prk: &Prk, label: Label, context: &[&[u8]], crypto: &dyn Crypto) -> Result<Prk, Backend> {
    let mut next = Prk::zeroed();
    kdf(prk, label, context, next.bytes_mut(), crypto)?;
    Ok(next)
}

/// TH_2 = H( G_Y, H(message_1) ).
pub(super) fn th_2(g_y: &[u8], h_message_1: &Hash, crypto: &dyn Crypto) -> Hash {
    let input = wire::encode_with(|w| {
        w.bytes(g_y);
        w.bytes(h_message_1);
    });
    crypto.sha256(&[&input])
}

/// TH_3 = H( TH_2, PLAINTEXT_2, CRED_R ), and TH_4 = H( TH_3, PLAINTEXT_3, CRED_I ).
pub(super) fn th_next(th: &Hash, plaintext: &[u8], credential: &[u8], crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[HASH_HEAD, th, plaintext, credential])
}

/// PRK_2e = EDHOC_Extract( TH_2, G_XY ).
pub(super) fn prk_2e(th_2: &Hash, g_xy: &Prk, crypto: &dyn Crypto) -> Prk {
    let mut prk = Prk::zeroed();
    crypto.hkdf_extract(th_2, g_xy.bytes(), &mut prk);
    prk
}

/// The step to PRK_3e2m and PRK_4e3m where that side authenticates with static Diffie-Hellman: Extract( SALT, G_ab ).
pub(super) fn mix_static(
    prk: &Prk,
    label: Label,
    th: &Hash,
    shared: &Prk,
    crypto: &dyn Crypto,
) -> Result<Prk, Backend> {
    let salt = kdf_prk(prk, label, &[th], crypto)?;
    let mut next = Prk::zeroed();
    crypto.hkdf_extract(salt.bytes(), shared.bytes(), &mut next);
    Ok(next)
}

/// PLAINTEXT_2 ⇔ CIPHERTEXT_2: XOR with KEYSTREAM_2, in place.
pub(super) fn xor_keystream_2(prk_2e: &Prk, th_2: &Hash, text: &mut [u8], crypto: &dyn Crypto) -> Result<(), Backend> {
    let mut keystream = SecretBytes::zeroed(text.len());
    kdf(prk_2e, Label::Keystream2, &[th_2], keystream.bytes_mut(), crypto)?;
    text.iter_mut().zip(keystream.bytes()).for_each(|(byte, key)| *byte ^= key);
    Ok(())
}

/// `<< TH, CRED, ? EAD >>`: the external_aad of a signature, and the tail of the context of a MAC (RFC 9528 §5.3.2).
pub(super) const fn external_aad<'a>(th: &'a Hash, credential: &'a [u8], ead: &'a [u8]) -> [&'a [u8]; 4] {
    [HASH_HEAD, th, credential, ead]
}

/// What a MAC speaks for: C_R in MAC_2 only, then ID_CRED, TH, CRED and EAD.
pub(super) struct MacContext<'a> {
    /// Encoded, or empty.
    pub(super) c_r: &'a [u8],
    pub(super) id_cred: &'a [u8],
    pub(super) th: &'a Hash,
    pub(super) credential: &'a [u8],
    pub(super) ead: &'a [u8],
}

impl MacContext<'_> {
    /// context_2 = << C_R, ID_CRED_R, TH_2, CRED_R, ? EAD_2 >>; context_3 likewise without C_R.
    pub(super) const fn parts(&self) -> [&[u8]; MAX_PARTS] {
        let [head, th, credential, ead] = external_aad(self.th, self.credential, self.ead);
        [self.c_r, self.id_cred, head, th, credential, ead]
    }
}

/// What a plaintext grows by when it becomes a message: the longest tag, and the head of a byte string.
pub(super) const MESSAGE_ROOM: usize = 16 + 3;

token::portable! {
    MessageCipher { suite, key, nonce, aad }
}

/// The AEAD of message_3 (labels 3 and 4 under PRK_3e2m and TH_3) and of message_4 (8 and 9 under PRK_4e3m and TH_4).
pub(super) struct MessageCipher {
    suite: Suite,
    key: SecretBytes,
    nonce: Vec<u8>,
    aad: Vec<u8>,
}

impl MessageCipher {
    pub(super) fn new(
        suite: Suite,
        prk: &Prk,
        (key_label, nonce_label): (Label, Label),
        th: &Hash,
        crypto: &dyn Crypto,
    ) -> Result<Self, Backend> {
        let mut key = SecretBytes::zeroed(suite.aead.key_len());
        kdf(prk, key_label, &[th], key.bytes_mut(), crypto)?;
        let mut nonce = alloc::vec![0; suite.aead.nonce_len()];
        kdf(prk, nonce_label, &[th], &mut nonce, crypto)?;
        Ok(Self { suite, key, nonce, aad: enc_structure(&[], th) })
    }

    /// Encrypts in place, and makes the byte string of it that is the whole message. `text` has [`MESSAGE_ROOM`]; if this
    /// fails, it is as it was.
    pub(super) fn seal(&self, text: &mut Vec<u8>, crypto: &dyn Crypto) -> Result<(), Backend> {
        crypto.seal(self.suite.aead, self.key.bytes(), &self.nonce, &self.aad, text)?;
        let head = wire::encode_with(|w| w.bytes_head(text.len()));
        wire::put_in_front(&head, text);
        Ok(())
    }

    /// Decrypts the byte string that is the whole message.
    pub(super) fn open(&self, message: &[u8], crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        let mut text = wire::decode::<&[u8]>(message)?.to_vec();
        crypto.open(self.suite.aead, self.key.bytes(), &self.nonce, &self.aad, &mut text)?;
        Ok(text)
    }
}
