//! What a party with a real key can say that no honest one would.

use remote_provisioning::{
    cose::encrypt0,
    crypto::{Hash, Secret},
    edhoc::{EadItem, OwnCredential, Session},
    identity::Role,
    provisioning::message::{EAD_LABEL, PADDING_CLASS, VERSION},
    sim::IDENTITY,
    wire,
};

use super::{Choices, Input, memo::Memo, stage::Player};

/// The party's own credential, or a chain that was tampered with.
pub(crate) fn credential(player: &Player, chain: &[&[u8]], input: &mut Input<'_>) -> OwnCredential {
    if input.byte().is_multiple_of(2) {
        return player.own.clone();
    }
    let mut chain: Vec<Vec<u8>> = chain.iter().map(|certificate| input.mutated(certificate)).collect();
    match input.byte() % 4 {
        1 => chain.truncate(1),
        2 => chain.push(chain[0].clone()),
        3 => chain.reverse(),
        _ => {}
    }
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    OwnCredential::chain(IDENTITY, &chain).unwrap()
}

/// EAD items: the honest one, or like it, or others.
pub(crate) struct Items(Vec<(u32, bool, Option<Vec<u8>>)>);

impl Items {
    pub(crate) fn new(honest: &[u8], input: &mut Input<'_>) -> Self {
        let count = *input.pick(&[1_usize, 1, 1, 2, 9, 0]);
        let item = |input: &mut Input<'_>| {
            let flags = input.byte();
            let label = [EAD_LABEL, EAD_LABEL, 0, 1][usize::from(flags & 3)];
            (label, flags & 4 == 0, (flags & 8 == 0).then(|| input.mutated(honest)))
        };
        Self((0..count).map(|_| item(input)).collect())
    }

    pub(crate) fn items(&self) -> Vec<EadItem<'_>> {
        self.0
            .iter()
            .map(|(label, critical, value)| EadItem { label: *label, critical: *critical, value: value.as_deref() })
            .collect()
    }
}

/// A record of `from`, sealed as `provisioning` seals it, from its description only.
pub(crate) fn record(from: Role, session: &Session, package_hash: &Hash, number: u64, text: &[u8]) -> Vec<u8> {
    let (label, direction) = match from {
        Role::Device => (0xce03, 0),
        Role::Operator | Role::Relay => (0xce04, 1),
    };
    let context = wire::encode_with(|w| {
        w.array(2);
        w.unsigned(VERSION);
        w.unsigned(direction);
    });
    let mut key = Secret::zeroed();
    session.export(label, &context, key.bytes_mut(), &Memo).unwrap();
    let aad = wire::encode_with(|w| {
        w.array(4);
        w.unsigned(direction);
        w.unsigned(VERSION);
        w.bytes(session.th_4());
        w.bytes(package_hash);
    });
    let mut padded = wire::encode_with(|w| w.bytes(text));
    padded.resize(padded.len().next_multiple_of(PADDING_CLASS), 0);
    encrypt0::seal(&key, Some(number), &aad, &padded, &Memo).unwrap()
}
