//! Pages to read before and after the reference: how to build the crate in, what was done so that you can rely on it, and
//! what it costs.

#[doc = include_str!("embedding.md")]
pub mod embedding {}

#[doc = include_str!("assurance.md")]
pub mod assurance {}

#[doc = include_str!("cost.md")]
#[doc = ""]
#[doc = include_str!("growth.svg")]
pub mod cost {}
