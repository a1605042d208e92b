//! Random lives of a device against a model of what it must accept.

use proptest::prelude::*;

use super::*;

/// A chain as the model knows it: the ids of its entries, with the epoch each has.
#[derive(Clone, Debug)]
struct Known {
    chain: Vec<u8>,
    entries: Vec<(usize, u32)>,
    owner: usize,
    nonce: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// The maker sells the device to somebody, again.
    Sell(usize),
    /// The owner of a chain hands it on, this many epochs up.
    HandOn(prop::sample::Index, usize, u32),
    /// A chain is shown to the device.
    Show(prop::sample::Index),
    /// The device asks its maker, and somebody gets the answer.
    Ask(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let owner = 0..6_usize;
    prop_oneof![
        1 => owner.clone().prop_map(Step::Sell),
        4 => (any::<prop::sample::Index>(), owner.clone(), 1..4_u32).prop_map(|(a, b, c)| Step::HandOn(a, b, c)),
        6 => any::<prop::sample::Index>().prop_map(Step::Show),
        1 => owner.prop_map(Step::Ask),
    ]
}

/// What the device must do: the entry and epoch it holds afterwards, or the refusal.
fn expected(held: Option<(usize, u32)>, known: &Known) -> Result<(usize, u32), Fault> {
    let (last, epoch) = *known.entries.last().unwrap();
    let Some((entry, reached)) = held else {
        return if known.nonce { Err(Fault::Stale) } else { Ok((last, epoch)) };
    };
    match known.entries.iter().position(|(id, _)| *id == entry) {
        None if epoch <= reached => Err(Fault::Stale),
        None => Err(Fault::Forked),
        Some(at) => match known.entries.get(at + 1) {
            None => Ok((entry, reached)),
            Some((_, next)) if *next <= reached => Err(Fault::Broken),
            Some(_) => Ok((last, epoch)),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_device_accepts_what_the_model_accepts(steps in proptest::collection::vec(step(), 1..30)) {
        let mut market = Market::new();
        let (mut chains, mut ids): (Vec<Known>, usize) = (Vec::new(), 0);
        let mut held: Option<(usize, u32)> = None;
        let mut fresh = || { ids += 1; ids };
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Sell(owner) => {
                    // Each with another date, so that no two are the same entry.
                    let voucher = Voucher { created_on: Some(Date(number)), ..word(&market.owners[owner]) };
                    chains.push(Known { chain: market.issue(&voucher), entries: vec![(fresh(), 1)], owner, nonce: false });
                }
                Step::HandOn(which, to, up) => {
                    let Some(known) = (!chains.is_empty()).then(|| which.get(&chains).clone()) else { continue };
                    if known.entries.len() == 16 {
                        continue;
                    }
                    let epoch = known.entries.last().unwrap().1 + up;
                    let chain = market.handed_on(&known.chain, known.owner, to, epoch);
                    let mut entries = known.entries.clone();
                    // The same owner in the same epoch is the same entry, whenever it is signed.
                    let twin = chains.iter().find(|other| {
                        outline(&other.chain, &RustCrypto).unwrap().head == outline(&chain, &RustCrypto).unwrap().head
                    });
                    let id = twin.map(|twin| twin.entries.last().unwrap().0);
                    entries.push((id.unwrap_or_else(&mut fresh), epoch));
                    chains.push(Known { chain, entries, owner: to, nonce: known.nonce });
                }
                Step::Show(which) => {
                    let Some(known) = (!chains.is_empty()).then(|| which.get(&chains).clone()) else { continue };
                    let outcome = market.show(&known.chain, known.owner);
                    match expected(held, &known) {
                        Ok((entry, epoch)) => {
                            let ownership = outcome.unwrap();
                            prop_assert_eq!(ownership.epoch, epoch);
                            held = Some((entry, epoch));
                            market.held = Some(ownership);
                        }
                        Err(why) => prop_assert_eq!(outcome, refused(why)),
                    }
                }
                Step::Ask(owner) => {
                    let nonce = (number + 1_000).to_be_bytes();
                    let voucher = Voucher { nonce: Some(&nonce), ..word(&market.owners[owner]) };
                    let chain = market.issue(&voucher);
                    let ownership = market.show_with(&chain, owner, Some(&nonce)).unwrap();
                    let epoch = held.map_or(1, |(_, epoch)| epoch + 1);
                    prop_assert_eq!(ownership.epoch, epoch);
                    let entry = fresh();
                    held = Some((entry, epoch));
                    market.held = Some(ownership);
                    chains.push(Known { chain, entries: vec![(entry, 1)], owner, nonce: true });
                }
            }
        }
    }
}
