//! Deeds: from owner to owner, and each way for one to be worth nothing.

use arrayvec::ArrayString;
use remote_provisioning::authority::{
    Association, Deed, MAX_DEVICE,
    association::Fault::{self, NotAccepted, NotReleased, OtherDeed, OtherDevice, OtherDomain, Stale},
};

use super::*;

type Gpsi = ArrayString<128>;

const RELEASE: &[u8] = b"RCP release";
const ACCEPTANCE: &[u8] = b"RCP acceptance";

fn gpsi(text: &str) -> Option<Gpsi> {
    Some(Gpsi::from(text).unwrap())
}

fn expired() -> Fault {
    Fault::Expired
}

/// Anna has the meter, Bert is to have it, Carl is a stranger.
struct Street {
    anna: Party,
    bert: Party,
    carl: Party,
    first: Association,
}

impl Street {
    fn new() -> Self {
        let (anna, bert, carl) = (Party::new("Anna"), Party::new("Bert"), Party::new("Carl"));
        let first = Association::first(&anna.key(), gpsi("msisdn-491700000001")).unwrap();
        Self { anna, bert, carl, first }
    }

    /// From Anna to Bert, for 10 days.
    fn deed(&self) -> Deed {
        deed(&self.first, &self.bert)
    }

    fn try_deed(&self, deed: &Deed) -> Result<Association, Fault> {
        apply(&self.first, deed, &self.anna, &self.bert)
    }
}

fn deed(from: &Association, to: &Party) -> Deed {
    from.deed(&meter(), Domain::Test, &to.key(), from.gpsi().copied(), days(10)).unwrap()
}

fn change(association: &Association, release: &[u8], acceptance: &[u8]) -> Result<Association, Fault> {
    association.change(release, acceptance, &meter(), Domain::Test, TODAY, &RustCrypto)
}

fn apply(association: &Association, deed: &Deed, old: &Party, new: &Party) -> Result<Association, Fault> {
    change(association, &deed.release(old.sign()).unwrap(), &deed.acceptance(new.sign()).unwrap())
}

fn hash(deed: &Deed) -> Hash {
    RustCrypto.sha256(&[&wire::encode(deed)])
}

#[test]
fn from_owner_to_owner() {
    let Street { anna, bert, carl, first } = Street::new();
    assert_eq!((first.number(), first.deed_hash(), first.owner()), (1, None, &anna.compressed()));

    let to_bert = deed(&first, &bert);
    assert_eq!((to_bert.number, to_bert.previous), (2, None));
    let second = apply(&first, &to_bert, &anna, &bert).unwrap();
    assert_eq!((second.number(), second.deed_hash()), (2, Some(&hash(&to_bert))));
    assert_eq!((second.owner(), second.gpsi()), (&bert.compressed(), first.gpsi()));

    let to_carl = Deed { gpsi: None, ..deed(&second, &carl) };
    assert_eq!((to_carl.number, to_carl.previous), (3, Some(hash(&to_bert))));
    let third = apply(&second, &to_carl, &bert, &carl).unwrap();
    assert_eq!((third.number(), third.owner(), third.gpsi()), (3, &carl.compressed(), None));

    // And back to the first owner, who was nobody in between.
    let back = apply(&third, &deed(&third, &anna), &carl, &anna).unwrap();
    assert_eq!((back.number(), back.owner()), (4, &anna.compressed()));
}

#[test]
fn only_the_number_changes() {
    let Street { anna, bert, first, .. } = Street::new();
    let ported = Deed { gpsi: gpsi("meter-42@anna.example"), ..deed(&first, &anna) };
    let second = apply(&first, &ported, &anna, &anna).unwrap();
    assert_eq!((second.number(), second.owner(), second.gpsi()), (2, first.owner(), ported.gpsi.as_ref()));
    // Nobody else can, and one signature is not two.
    assert_eq!(apply(&first, &ported, &bert, &anna), Err(NotReleased));
    assert_eq!(apply(&first, &ported, &anna, &bert), Err(NotAccepted));
    let release = ported.release(anna.sign()).unwrap();
    assert_eq!(change(&first, &release, &release), Err(NotAccepted), "a release is no acceptance");
    let acceptance = ported.acceptance(anna.sign()).unwrap();
    assert_eq!(change(&first, &acceptance, &acceptance), Err(NotReleased), "nor the reverse");
}

#[test]
fn the_bytes_are_these() {
    let street = Street::new();
    let deed = Deed { previous: Some([7; 32]), ..street.deed() };
    let expected = [
        b"\x87\x01\x78\x29abababababababababababababababab/IOT/0042\x02\x58\x20".as_slice(),
        &[7; 32],
        b"\x58\x21",
        &street.bert.compressed(),
        b"\x73msisdn-491700000001\x1a",
        &u32::try_from(TODAY.0 + 10 * DAY).unwrap().to_be_bytes(),
    ]
    .concat();
    assert_eq!(wire::encode(&deed), expected);
    // Signed by hand, with the contexts as they are written down.
    let deed = wire::encode(&street.deed());
    let (release, acceptance) = (street.anna.signed(&deed, RELEASE), street.bert.signed(&deed, ACCEPTANCE));
    assert!(change(&street.first, &release, &acceptance).is_ok());
    let longest = DeviceId::new(Some([0xab; 16]), "x".repeat(64).parse().unwrap());
    let longest = street.first.deed(&longest, Domain::Test, &street.bert.key(), None, TODAY).unwrap();
    assert_eq!(longest.device.len(), MAX_DEVICE);
}

#[test]
fn the_new_owner_sees_what_it_signs() {
    let street = Street::new();
    let release = street.deed().release(street.anna.sign()).unwrap();
    let offered = Deed::offered(&release).unwrap();
    assert_eq!(offered, street.deed());
    assert!(change(&street.first, &release, &offered.acceptance(street.bert.sign()).unwrap()).is_ok());
    assert_eq!(Deed::offered(b"\x80"), Err(Malformed::WrongLength));
    assert!(Deed::offered(&street.anna.signed(b"\x80", RELEASE)).is_err(), "no deed in it");
}

#[test]
fn not_signed_by_the_owner() {
    let street = Street::new();
    let deed = street.deed();
    let acceptance = deed.acceptance(street.bert.sign()).unwrap();
    for thief in [&street.bert, &street.carl] {
        assert_eq!(change(&street.first, &deed.release(thief.sign()).unwrap(), &acceptance), Err(NotReleased));
    }
    let bytes = wire::encode(&deed);
    for context in [b"".as_slice(), ACCEPTANCE, b"RCP claim", b"RCP veto", b"RCP receipt", b"RCP voucher"] {
        assert_eq!(change(&street.first, &street.anna.signed(&bytes, context), &acceptance), Err(NotReleased));
    }
}

#[test]
fn not_signed_by_the_new_owner() {
    let street = Street::new();
    let deed = street.deed();
    let release = deed.release(street.anna.sign()).unwrap();
    for other in [&street.anna, &street.carl] {
        assert_eq!(change(&street.first, &release, &deed.acceptance(other.sign()).unwrap()), Err(NotAccepted));
    }
    let bytes = wire::encode(&deed);
    for context in [b"".as_slice(), RELEASE, b"RCP claim", b"RCP veto", b"RCP receipt", b"RCP voucher"] {
        assert_eq!(change(&street.first, &release, &street.bert.signed(&bytes, context)), Err(NotAccepted));
    }
    // No point of the curve, so nobody's key.
    let nobody = Deed { owner: [0xff; 33], ..deed };
    assert_eq!(street.try_deed(&nobody), Err(NotAccepted));
}

#[test]
fn different_deeds() {
    let street = Street::new();
    let (one, other) = (street.deed(), Deed { gpsi: None, ..street.deed() });
    let release = one.release(street.anna.sign()).unwrap();
    assert_eq!(change(&street.first, &release, &other.acceptance(street.bert.sign()).unwrap()), Err(OtherDeed));
    assert!(street.try_deed(&one).is_ok() && street.try_deed(&other).is_ok(), "each by itself is good");
}

#[test]
fn another_device() {
    let street = Street::new();
    for device in other_devices() {
        let name = ArrayString::from(&device.to_string()).unwrap();
        assert_eq!(street.try_deed(&Deed { device: name, ..street.deed() }), Err(OtherDevice));
    }
    for name in [ANOTHER_SPELLING, "IOT/0042", "0042", ""] {
        let device = ArrayString::from(name).unwrap();
        assert_eq!(street.try_deed(&Deed { device, ..street.deed() }), Err(OtherDevice), "{name}");
    }
}

#[test]
fn another_domain() {
    let street = Street::new();
    assert_eq!(street.try_deed(&Deed { domain: Domain::Production, ..street.deed() }), Err(OtherDomain));
}

#[test]
fn another_number() {
    let street = Street::new();
    for number in [0, 1, 3, u32::MAX] {
        assert_eq!(street.try_deed(&Deed { number, ..street.deed() }), Err(Stale), "{number}");
    }
}

#[test]
fn another_deed_before() {
    let Street { anna, bert, first, .. } = Street::new();
    assert_eq!(apply(&first, &Deed { previous: Some([0; 32]), ..deed(&first, &bert) }, &anna, &bert), Err(Stale));
    let second = apply(&first, &deed(&first, &bert), &anna, &bert).unwrap();
    for previous in [None, Some([0; 32]), Some(RustCrypto.sha256(&[]))] {
        assert_eq!(apply(&second, &Deed { previous, ..deed(&second, &anna) }, &bert, &anna), Err(Stale));
    }
}

#[test]
fn expired_deeds() {
    let street = Street::new();
    let at = |expires: u64| street.try_deed(&Deed { expires, ..street.deed() });
    assert_eq!(at(0), Err(expired()));
    assert_eq!(at(TODAY.0 - 1), Err(expired()));
    assert_eq!(at(TODAY.0), Err(expired()));
    assert!(at(TODAY.0 + 1).is_ok());
}

#[test]
fn a_former_owner_has_nothing_to_show() {
    let Street { anna, bert, carl, first } = Street::new();
    let (to_bert, to_carl) = (deed(&first, &bert), deed(&first, &carl));
    let second = apply(&first, &to_bert, &anna, &bert).unwrap();
    // The same deed again, and another one that Anna had signed before, or signs now.
    assert_eq!(apply(&second, &to_bert, &anna, &bert), Err(NotReleased));
    assert_eq!(apply(&second, &to_carl, &anna, &carl), Err(NotReleased), "two deeds from one association");
    assert_eq!(apply(&second, &deed(&second, &anna), &anna, &anna), Err(NotReleased));
    // Anna is the owner again: what she signed when she was it for the first time is out of date.
    let third = apply(&second, &deed(&second, &anna), &bert, &anna).unwrap();
    assert_eq!(apply(&third, &to_bert, &anna, &bert), Err(Stale));
    assert_eq!(apply(&third, &to_carl, &anna, &carl), Err(Stale));
    assert!(apply(&third, &deed(&third, &carl), &anna, &carl).is_ok());
}

#[test]
fn two_deeds_from_one_association() {
    // By one owner, who stays it: nothing but the number tells that the second comes too late.
    let Street { anna, carl, first, .. } = Street::new();
    let (ported, sold) = (Deed { gpsi: None, ..deed(&first, &anna) }, deed(&first, &carl));
    let second = apply(&first, &ported, &anna, &anna).unwrap();
    assert_eq!(apply(&second, &ported, &anna, &anna), Err(Stale));
    assert_eq!(apply(&second, &sold, &anna, &carl), Err(Stale));
    // Of two branches of the same length, the deed of one does not fit the other.
    let other = apply(&first, &deed(&first, &anna), &anna, &anna).unwrap();
    assert_eq!(apply(&other, &deed(&second, &carl), &anna, &carl), Err(Stale));
}

#[test]
fn the_operator_begins_again_and_counts_on() {
    let Street { anna, bert, carl, first } = Street::new();
    let old = deed(&first, &bert);
    let again = first.again(&anna.key(), gpsi("msisdn-491700000002")).unwrap();
    assert_eq!((again.number(), again.deed_hash(), again.owner()), (2, None, &anna.compressed()));
    assert_eq!(apply(&again, &old, &anna, &bert), Err(Stale), "same owner, same previous, another number");
    assert!(apply(&again, &deed(&again, &carl), &anna, &carl).is_ok());
}

#[test]
fn numbers_end() {
    let Street { anna, bert, first, .. } = Street::new();
    let mut json = serde_json::to_value(&first).unwrap();
    json["number"] = u32::MAX.into();
    let last: Association = serde_json::from_value(json).unwrap();
    let used_up = Misuse::NotNow("association numbers are used up");
    assert_eq!(last.again(&anna.key(), None), Err(used_up));
    assert_eq!(last.deed(&meter(), Domain::Test, &bert.key(), None, days(1)), Err(used_up));
    for number in [0, 1, 2, u32::MAX] {
        assert_eq!(apply(&last, &Deed { number, ..deed(&first, &bert) }, &anna, &bert), Err(Stale));
    }
}

#[test]
fn keys_are_of_p_256() {
    let street = Street::new();
    assert_eq!(Association::first(&key_of_another_kind(), None), Err(NO_P256));
    assert_eq!(street.first.again(&key_of_another_kind(), None), Err(NO_P256));
    let deed = street.first.deed(&meter(), Domain::Test, &key_of_another_kind(), None, days(1));
    assert_eq!(deed, Err(NO_P256));
}

#[test]
fn not_a_byte_can_be_changed() {
    let street = Street::new();
    let (release, acceptance) =
        (street.deed().release(street.anna.sign()).unwrap(), street.deed().acceptance(street.bert.sign()).unwrap());
    let mut faults = Vec::new();
    for (what, damaged) in damaged(&release) {
        faults.push(change(&street.first, &damaged, &acceptance).expect_err(&what));
    }
    assert!(faults.contains(&NotReleased) && faults.iter().all(|f| matches!(f, NotReleased | Fault::Malformed(_))));
    for (what, damaged) in damaged(&acceptance) {
        let fault = change(&street.first, &release, &damaged).expect_err(&what);
        assert!(matches!(fault, NotAccepted | OtherDeed | Fault::Malformed(_)), "{what}: {fault}");
    }
    // The same deed in two documents that were changed alike.
    for (what, damaged) in damaged(&wire::encode(&street.deed())) {
        let other = change(&street.first, &release, &street.bert.signed(&damaged, ACCEPTANCE));
        assert_eq!(other, Err(OtherDeed), "{what}");
    }
    // Signed all the same, they are no deeds.
    let longer = [wire::encode(&street.deed()).as_slice(), &[0]].concat();
    let both = (street.anna.signed(&longer, RELEASE), street.bert.signed(&longer, ACCEPTANCE));
    assert_eq!(change(&street.first, &both.0, &both.1), Err(Malformed::TrailingBytes.into()));
    let long = [&[0x87, 0x18, 0x01], &wire::encode(&street.deed())[2..]].concat();
    let both = (street.anna.signed(&long, RELEASE), street.bert.signed(&long, ACCEPTANCE));
    assert_eq!(change(&street.first, &both.0, &both.1), Err(Malformed::NotShortest.into()));
}

#[test]
fn a_deed_is_named_by_what_it_says() {
    let street = Street::new();
    let (release, acceptance) =
        (street.deed().release(street.anna.sign()).unwrap(), street.deed().acceptance(street.bert.sign()).unwrap());
    let once = change(&street.first, &release, &acceptance).unwrap();
    assert_eq!(change(&street.first, &with_twin(&release), &with_twin(&acceptance)), Ok(once));
}

#[test]
fn it_can_be_stored() {
    let street = Street::new();
    let second = street.try_deed(&street.deed()).unwrap();
    for association in [street.first, second] {
        let json = serde_json::to_string(&association).unwrap();
        assert_eq!(serde_json::from_str::<Association>(&json).unwrap(), association);
        let mut cbor = Vec::new();
        ciborium::into_writer(&association, &mut cbor).unwrap();
        assert_eq!(ciborium::from_reader::<Association, _>(cbor.as_slice()).unwrap(), association);
    }
}
