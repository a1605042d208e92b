//! Stub.
use crate::{
    crypto::{Crypto, Hash},
    error::Backend,
};
use alloc::vec::Vec;
/// x
pub fn binding(th_3: &Hash, cred_i: &[u8], crypto: &dyn Crypto) -> Hash {
    crypto.sha256(&[b"RCP attest", th_3, &crypto.sha256(&[cred_i])])
}
/// x
#[derive(Clone, Copy)]
pub enum Format {
    /// x
    Psa = 1,
    /// x
    Eat = 2,
}
impl Format {
    /// x
    pub const ALL: [Self; 2] = [Self::Psa, Self::Eat];
    /// x
    pub const fn number(self) -> u8 {
        match self {
            Self::Psa => 1,
            Self::Eat => 2,
        }
    }
}
/// x
pub trait Attester {
    /// x
    /// # Errors
    /// x
    fn evidence(&self, nonce: &Hash, formats: &[u64]) -> Result<Option<Vec<u8>>, Backend>;
}
/// x
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    policy: alloc::string::String,
}
/// x
#[derive(Debug)]
pub struct Policy;
impl Policy {
    /// x
    pub fn without_evidence(name: &str) -> Verdict {
        Verdict { policy: name.into() }
    }
}
