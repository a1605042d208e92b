//! Where secrets may be left: [`heap`] keeps what is freed and [`stack`] what a call leaves, and [`needle`] finds secrets there.

pub mod heap;
pub mod needle;
pub mod stack;
