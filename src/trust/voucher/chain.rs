//! The line of owners.
//!
//! ```cddl
//! voucher-chain = [ voucher: bstr, * extension ]
//! extension = [ signer: bstr .size 33, bstr .cbor COSE_Sign1 ]     ; signer: the key of the owner before, compressed
//! payload = [ previous: hash, next: hash, owner-epoch: uint, domain ]
//! ```

use alloc::vec::Vec;

use super::{Crypto, Domain, Error, Hash, Malformed, PublicKey, Reader, Result, Voucher, Wire, wire, wire_array};
use crate::{
    cose::sign1::Sign1,
    crypto::Signature,
    error::{self, Backend, Misuse},
};

/// Most entries of a chain.
pub const MAX_ENTRIES: usize = 16;

/// Keeps an extension's signature from meaning anything elsewhere.
const CONTEXT: &[u8] = b"RCP voucher";

wire_array! {
    struct Extension<'a> {
        signer: &'a [u8; 33],
        signed: &'a [u8],
    }
}

wire_array! {
    struct Payload {
        previous: Hash,
        next: Hash,
        epoch: u32,
        domain: Domain,
    }
}

/// A chain whose signatures nobody has checked yet.
pub(super) struct Chain<'a> {
    pub(super) head: Sign1<'a>,
    /// One after the other. They have been read before.
    extensions: &'a [u8],
}

/// An entry that follows from the one before.
pub(super) struct Link {
    /// The hash of what its signature covers.
    pub(super) hash: Hash,
    /// The thumbprint that it names.
    pub(super) owner: Hash,
    pub(super) epoch: u32,
}

impl<'a> Chain<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes)?;
        let entries = reader.array()?;
        if entries > MAX_ENTRIES {
            return Err(error::Voucher::TooLong.into());
        }
        let head = Sign1::foreign(reader.bytes()?)?;
        let extensions = reader.rest();
        for _ in 1..entries {
            Extension::read(&mut reader)?;
        }
        reader.end()?;
        Ok(Self { head, extensions })
    }

    /// Walks down the line from `voucher`, which is what `head` says and whose signature is the caller's affair, and gives
    /// its last link; `pass` sees those before it, too. `domain` is what all of it has to be for, or else what the first
    /// extension says. No list of links: a device has little stack.
    pub(super) fn walk(
        &self,
        voucher: &Voucher<'_>,
        first_epoch: u32,
        mut domain: Option<Domain>,
        crypto: &dyn Crypto,
        pass: &mut dyn FnMut(&Link),
    ) -> Result<Link> {
        use error::Voucher as Fault;
        let hash = crypto.sha256(&[&self.head.to_be_signed(&[])]);
        let mut last = Link { hash, owner: voucher.pinned.thumbprint(crypto)?, epoch: first_epoch };
        pass(&last);
        let mut extensions = Reader::new(self.extensions)?;
        while !extensions.is_empty() {
            let Extension { signer, signed } = Extension::read(&mut extensions)?;
            let signer = crypto.point(signer.as_slice())?;
            if signer.thumbprint(crypto) != last.owner {
                return Err(Fault::Signer.into());
            }
            let signed: Sign1<'_> = wire::decode(signed)?;
            let payload = signed.verify(&signer, CONTEXT, crypto).map_err(|_| Fault::Signer)?;
            let payload: Payload = wire::decode(payload)?;
            if *domain.get_or_insert(payload.domain) != payload.domain {
                return Err(Fault::OtherDomain.into());
            }
            if payload.previous != last.hash || payload.epoch <= last.epoch {
                return Err(Fault::Broken.into());
            }
            let hash = crypto.sha256(&[&signed.to_be_signed(CONTEXT)]);
            last = Link { hash, owner: payload.next, epoch: payload.epoch };
            pass(&last);
        }
        Ok(last)
    }
}

/// A chain of one entry: a [signed](Voucher::sign) voucher.
pub fn first(voucher: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| {
        w.array(1);
        w.bytes(voucher);
    })
}

/// Hands a device on: `chain` and an entry more, by which the owner (`signer`, whose key `sign` signs with) names the key
/// of the next one by its [thumbprint](PublicKey::thumbprint). `epoch` has to be above every one before, and above what the
/// device itself says it is in.
///
/// A registry of the owner's must see to it that no chain is extended twice: both would be good, until the device has
/// seen one of them.
///
/// # Errors
/// [`Misuse::Parameter`] if `signer` is not the owner, `epoch` not above, or the chain full; [`Malformed`]; those of `sign`.
pub fn extend(
    chain: &[u8],
    signer: &PublicKey,
    next: &Hash,
    epoch: u32,
    domain: Domain,
    sign: impl FnOnce(&[u8]) -> Result<Signature, Backend>,
    crypto: &dyn Crypto,
) -> Result<Vec<u8>> {
    let outline = outline(chain, crypto)?;
    if outline.owner != signer.thumbprint(crypto) {
        return Err(Misuse::Parameter("the signer is not the owner").into());
    }
    if epoch <= outline.epoch {
        return Err(Misuse::Parameter("owner epochs only grow").into());
    }
    if outline.entries >= MAX_ENTRIES {
        return Err(Misuse::Parameter("the voucher has all its entries").into());
    }
    let signer = &signer.compressed().ok_or(Misuse::Parameter("owners sign with P-256"))?;
    let payload = wire::encode(&Payload { previous: outline.head, next: *next, epoch, domain });
    let signed = wire::encode(&Sign1::create(&payload, CONTEXT, sign)?);
    // Every head of an array of up to 16 entries is one byte.
    let rest = chain.get(1..).ok_or(Malformed::Truncated)?;
    Ok(wire::encode_with(|w| {
        w.array(outline.entries.saturating_add(1));
        w.encoded(rest);
        Extension { signer, signed: &signed }.write(w);
    }))
}

/// What a chain says, to somebody who keeps chains: an operator, or an owner's registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline<'a> {
    /// The first entry. **Nobody has checked its signature**; those of the extensions are good.
    pub voucher: Voucher<'a>,
    /// How many entries there are, 1 to 16.
    pub entries: usize,
    /// Hash of the last one.
    pub head: Hash,
    /// Thumbprint of the owner's key.
    pub owner: Hash,
    /// The last entry's owner epoch; 1 if there is only the voucher.
    pub epoch: u32,
}

/// Reads a chain without knowing its maker.
///
/// # Errors
/// [`Voucher`](error::Voucher) if its entries do not follow from one another; [`Malformed`].
pub fn outline<'a>(chain: &'a [u8], crypto: &dyn Crypto) -> Result<Outline<'a>, Error> {
    let chain = Chain::read(chain)?;
    let voucher = Voucher::decode(chain.head.unverified())?;
    let mut entries = 0_usize;
    let last = chain.walk(&voucher, 1, None, crypto, &mut |_| entries = entries.saturating_add(1))?;
    Ok(Outline { voucher, entries, head: last.hash, owner: last.owner, epoch: last.epoch })
}
