//! The doors for libFuzzer. `tests/corpus.rs` of the main crate includes the same files and replays the corpora.

mod doors;

/// See `doors/wire.rs`.
pub fn wire(data: &[u8]) {
    doors::wire::run(data);
}

/// See `doors/device.rs`.
pub fn device(data: &[u8]) {
    doors::device::run(data);
}

/// See `doors/operator.rs`.
pub fn operator(data: &[u8]) {
    doors::operator::run(data);
}

/// See `doors/trust.rs`.
pub fn trust(data: &[u8]) {
    doors::trust::run(data);
}

/// See `doors/fragments.rs`.
pub fn fragments(data: &[u8]) {
    doors::fragments::run(data);
}

/// See `doors/link.rs`.
pub fn link(data: &[u8]) {
    doors::link::run(data);
}

/// See `doors/eap.rs`.
pub fn eap(data: &[u8]) {
    doors::eap::run(data);
}

/// See `doors/gate.rs`.
pub fn gate(data: &[u8]) {
    doors::gate::run(data);
}

/// The seeds of `corpus/`: door, file name, content.
pub fn seeds() -> Vec<doors::seeds::Seed> {
    doors::seeds::seeds()
}
