//! Takeovers: after the delay, without a veto, and not otherwise.

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{
        Claim, Takeover,
        takeover::{Fault, Known, MIN_DELAY_SECONDS, Party as Who},
    },
    identity::Role,
    trust::{
        Maker, MemoryAnchors, Peer, Usage,
        voucher::{Assertion, Holder, Pin, Voucher, VoucherRequest, first, outline, verify},
    },
};

use super::*;

const CLAIM: &[u8] = b"RCP claim";
const VETO: &[u8] = b"RCP veto";
const HEAD: Hash = [0x4e; 32];

/// A maker's case: the owner wants to go from the donor to the next operator.
struct Case {
    owner: Party,
    donor: Party,
    next: Party,
    stranger: Party,
    device: Party,
}

impl Case {
    fn new() -> Self {
        let [owner, donor, next, stranger, device] = ["owner", "donor", "next", "stranger", "device"].map(Party::new);
        Self { owner, donor, next, stranger, device }
    }

    fn claim(&self) -> Claim {
        Claim::new(Domain::Test, &meter(), HEAD, self.next.thumbprint(), [0x0c; 16]).unwrap()
    }

    fn signed(&self) -> Vec<u8> {
        self.claim().sign(self.owner.sign()).unwrap()
    }

    fn try_begin_after(&self, claim: &[u8], now: Date, delay: u64) -> Result<Takeover, Fault> {
        let (owner, donor) = (self.owner.key(), self.donor.key());
        let known = Known { device: &meter(), domain: Domain::Test, head: &HEAD, owner: &owner, donor: &donor };
        Takeover::begin(claim, &known, now, delay, &RustCrypto)?.first_use(true)
    }

    fn try_begin(&self, claim: &[u8]) -> Result<Takeover, Fault> {
        self.try_begin_after(claim, TODAY, MIN_DELAY_SECONDS)
    }

    /// Today, for seven days.
    fn begun(&self) -> Takeover {
        self.try_begin(&self.signed()).unwrap()
    }

    /// The device has met an operator, and asks for a voucher.
    fn request(&self, operator: &Party, serial: &str) -> Vec<u8> {
        let registrar = Pin::Thumbprint(operator.thumbprint());
        VoucherRequest { nonce: b"device's nonce", registrar, serial }.sign(self.device.sign()).unwrap()
    }
}

fn veto_by(claim: &Claim, party: &Party) -> Vec<u8> {
    claim.veto(party.sign(), &RustCrypto).unwrap()
}

#[test]
fn after_the_delay() {
    let case = Case::new();
    let takeover = case.begun();
    assert_eq!((takeover.claim(), takeover.ripe_at()), (&case.claim().hash(&RustCrypto), days(7)));
    assert_eq!(takeover.ripe(days(0)).err(), Some(Fault::TooEarly));
    assert_eq!(takeover.ripe(Date(days(7).0 - 1)).err(), Some(Fault::TooEarly));
    for late in [days(7), Date(days(7).0 + 1), days(70)] {
        assert!(takeover.ripe(late).is_ok());
    }
    let longer = case.try_begin_after(&case.signed(), TODAY, 30 * DAY).unwrap();
    assert_eq!(longer.ripe(Date(days(30).0 - 1)).err(), Some(Fault::TooEarly));
    assert!(longer.ripe(days(30)).is_ok());
}

/// All the way: a device that the donor keeps takes the maker's word, and the donor's is out of date from then on.
#[test]
fn a_hostage_is_freed() {
    let case = Case::new();
    let maker = Party::new("maker");
    let mut anchors = MemoryAnchors::new();
    anchors.add_maker(Maker::new(maker.key(), Domain::Test)).unwrap();
    let chain_of = |voucher: &Voucher<'_>| first(&voucher.sign(maker.sign()).unwrap());
    let operator = |party: &Party| {
        let name = "op.example".parse().unwrap();
        Peer::new(b"credential", party.key(), name, Role::Operator, Domain::Test, Usage::ANY)
    };
    let nonce = b"device's nonce".as_slice();
    let serial = *meter().name();
    let show = |chain: &[u8], to: &Party, held, nonce| {
        let holder = Holder { serial: &serial, domain: Domain::Test, held, nonce, date: None };
        verify(chain, &holder, &operator(to), &anchors, &RustCrypto)
    };
    let pinned = Pin::Thumbprint(case.donor.thumbprint());
    let sold = chain_of(&Voucher {
        assertion: None,
        created_on: None,
        expires_on: None,
        nonce: None,
        pinned,
        serial: serial.as_str(),
    });
    let held = show(&sold, &case.donor, None, None).unwrap();
    let head = outline(&sold, &RustCrypto).unwrap().head;
    assert_eq!(held.head, head);

    let claim = Claim { head, ..case.claim() }.sign(case.owner.sign()).unwrap();
    let (owner, donor) = (case.owner.key(), case.donor.key());
    let known = Known { device: &meter(), domain: Domain::Test, head: &head, owner: &owner, donor: &donor };
    let begun = Takeover::begin(&claim, &known, TODAY, MIN_DELAY_SECONDS, &RustCrypto).unwrap();
    let takeover = begun.first_use(true).unwrap();
    let request = case.request(&case.next, serial.as_str());
    let ripe = takeover.ripe(days(8)).unwrap();
    let answer = ripe.voucher(&request, &case.device.key(), &RustCrypto).unwrap();
    assert_eq!(
        (answer.assertion, answer.created_on, answer.nonce),
        (Some(Assertion::Verified), Some(days(8)), Some(nonce))
    );
    let answer = chain_of(&answer);
    let now_held = show(&answer, &case.next, Some(&held), Some(nonce)).unwrap();
    assert_eq!((now_held.epoch, now_held.owner), (2, case.next.thumbprint()));
    assert!(show(&sold, &case.donor, Some(&now_held), None).is_err());
}

#[test]
fn vetoed_by_the_donor_or_the_owner() {
    let case = Case::new();
    for (party, who) in [(&case.donor, Who::Donor), (&case.owner, Who::Owner)] {
        for at in [days(0), Date(days(7).0 - 1), Date(0)] {
            let mut takeover = case.begun();
            assert_eq!(takeover.vetoed(), None);
            assert_eq!(takeover.veto(&veto_by(&case.claim(), party), at, &RustCrypto), Ok(()));
            assert_eq!(takeover.vetoed(), Some(who));
            for later in [days(0), days(7), days(700), Date(u64::MAX)] {
                assert_eq!(takeover.ripe(later).err(), Some(Fault::Vetoed));
            }
        }
    }
}

#[test]
fn a_veto_is_for_good() {
    let case = Case::new();
    let mut takeover = case.begun();
    takeover.veto(&veto_by(&case.claim(), &case.donor), days(1), &RustCrypto).unwrap();
    let stopped = takeover.clone();
    // Not undone by a second one, by the end, or by beginning again with the same claim.
    assert_eq!(takeover.veto(&veto_by(&case.claim(), &case.owner), days(2), &RustCrypto), Ok(()));
    assert_eq!(takeover.veto(&veto_by(&case.claim(), &case.donor), days(9), &RustCrypto), Ok(()));
    takeover.end();
    assert_eq!(takeover, stopped);
    assert_eq!(takeover.ripe(days(9)).err(), Some(Fault::Vetoed));
    let (owner, donor) = (case.owner.key(), case.donor.key());
    let known = Known { device: &meter(), domain: Domain::Test, head: &HEAD, owner: &owner, donor: &donor };
    let again = Takeover::begin(&case.signed(), &known, days(10), MIN_DELAY_SECONDS, &RustCrypto).unwrap();
    assert_eq!(again.claim(), stopped.claim());
    assert_eq!(again.first_use(false).err(), Some(Fault::Used));
    // Another claim is another case, and the old veto nothing to it.
    let other = Claim { nonce: [0x0d; 16], ..case.claim() };
    let mut fresh = case.try_begin(&other.sign(case.owner.sign()).unwrap()).unwrap();
    assert_ne!(fresh.claim(), stopped.claim());
    assert_eq!(fresh.veto(&veto_by(&case.claim(), &case.donor), days(1), &RustCrypto), Err(Fault::OtherClaim));
    assert!(fresh.ripe(days(7)).is_ok());
}

#[test]
fn nobody_else_has_a_veto() {
    let case = Case::new();
    let (mut takeover, begun) = (case.begun(), case.begun());
    for party in [&case.stranger, &case.next, &case.device] {
        let refused = takeover.veto(&veto_by(&case.claim(), party), days(1), &RustCrypto);
        assert_eq!(refused, Err(Fault::Stranger));
    }
    let hash = wire::encode(&case.claim().hash(&RustCrypto));
    for context in [b"".as_slice(), CLAIM, b"RCP release", b"RCP acceptance", b"RCP receipt", b"RCP voucher"] {
        let refused = takeover.veto(&case.donor.signed(&hash, context), days(1), &RustCrypto);
        assert_eq!(refused, Err(Fault::Stranger));
    }
    assert_eq!(takeover, begun);
    assert_eq!(takeover.veto(&case.donor.signed(&hash, VETO), days(1), &RustCrypto), Ok(()), "this is all it takes");
}

#[test]
fn a_veto_too_late() {
    let case = Case::new();
    let mut takeover = case.begun();
    for party in [&case.donor, &case.owner] {
        for late in [days(7), days(8)] {
            let veto = veto_by(&case.claim(), party);
            assert_eq!(takeover.veto(&veto, late, &RustCrypto), Err(Fault::TooLate));
        }
    }
    assert!(takeover.ripe(days(7)).is_ok());
}

#[test]
fn a_veto_against_something_else() {
    let case = Case::new();
    let mut takeover = case.begun();
    for other in [
        Claim { domain: Domain::Production, ..case.claim() },
        Claim { device: ArrayString::from("pinned/other").unwrap(), ..case.claim() },
        Claim { head: [0; 32], ..case.claim() },
        Claim { next: [0; 32], ..case.claim() },
        Claim { nonce: [0; 16], ..case.claim() },
    ] {
        let refused = takeover.veto(&veto_by(&other, &case.donor), days(1), &RustCrypto);
        assert_eq!(refused, Err(Fault::OtherClaim));
    }
    let refused = takeover.veto(&case.donor.signed(b"\x40", VETO), days(1), &RustCrypto);
    assert_eq!(refused, Err(Malformed::WrongLength.into()));
    assert_eq!(takeover, case.begun());
}

#[test]
fn clocks_that_go_backwards() {
    let case = Case::new();
    let (takeover, begun) = (case.begun(), case.begun());
    // Set back after three days, forward again, back beyond the beginning, forward: still the seventh day.
    for day in [3, 1, 3, 6, 0, 6] {
        assert_eq!(takeover.ripe(days(day)).err(), Some(Fault::TooEarly));
    }
    for moment in [Date(0), Date(TODAY.0 - 100 * DAY), Date(days(7).0 - 1)] {
        assert_eq!(takeover.ripe(moment).err(), Some(Fault::TooEarly));
    }
    assert_eq!(takeover, begun, "nothing is counted");
    // A veto that is refused moves nothing either.
    let mut takeover = takeover;
    for day in [0, 6, 0, 6] {
        assert!(takeover.veto(&veto_by(&case.claim(), &case.stranger), days(day), &RustCrypto).is_err());
    }
    assert_eq!(takeover.ripe(Date(days(7).0 - 1)).err(), Some(Fault::TooEarly));
    assert!(takeover.ripe(days(7)).is_ok());
    assert_eq!(takeover.ripe(days(6)).err(), Some(Fault::TooEarly), "and not before it again");
}

#[test]
fn delays() {
    let case = Case::new();
    assert_eq!(MIN_DELAY_SECONDS, 7 * DAY);
    let begin = |now: Date, delay: u64| case.try_begin_after(&case.signed(), now, delay).err();
    let short = Some(Misuse::Parameter("the delay is too short").into());
    assert_eq!(begin(TODAY, 0), short);
    assert_eq!(begin(TODAY, 7 * DAY - 1), short);
    assert_eq!(begin(TODAY, 7 * DAY), None);
    assert_eq!(begin(TODAY, u64::MAX), Some(Misuse::Parameter("the delay is too long").into()));
    assert_eq!(begin(Date(u64::MAX), 7 * DAY), Some(Misuse::Parameter("the delay is too long").into()));
}

#[test]
fn claims_by_others() {
    let case = Case::new();
    for thief in [&case.next, &case.donor, &case.stranger] {
        let claim = case.claim().sign(thief.sign()).unwrap();
        assert_eq!(case.try_begin(&claim), Err(Fault::NotOwner));
    }
    let payload = wire::encode(&case.claim());
    for context in [b"".as_slice(), VETO, b"RCP release", b"RCP acceptance", b"RCP receipt", b"RCP voucher"] {
        assert_eq!(case.try_begin(&case.owner.signed(&payload, context)), Err(Fault::NotOwner));
    }
    assert!(case.try_begin(&case.owner.signed(&payload, CLAIM)).is_ok());
    let read = Claim::verify(&case.signed(), &case.owner.key(), &RustCrypto);
    assert_eq!(read, Ok(case.claim()), "as the donor reads it");
}

#[test]
fn claims_for_something_else() {
    let case = Case::new();
    let begin = |claim: Claim| case.try_begin(&claim.sign(case.owner.sign()).unwrap()).err();
    assert_eq!(begin(case.claim()), None);
    assert_eq!(begin(Claim { domain: Domain::Production, ..case.claim() }), Some(Fault::OtherDomain));
    for device in other_devices() {
        let claim = Claim::new(Domain::Test, &device, HEAD, case.next.thumbprint(), [0; 16]).unwrap();
        assert_eq!(begin(claim), Some(Fault::OtherDevice));
    }
    for name in [ANOTHER_SPELLING, "IOT/0042", ""] {
        let device = ArrayString::from(name).unwrap();
        assert_eq!(begin(Claim { device, ..case.claim() }), Some(Fault::OtherDevice), "{name}");
    }
    assert_eq!(begin(Claim { head: [0x4f; 32], ..case.claim() }), Some(Fault::OtherHead));
}

#[test]
fn keys_are_of_p_256() {
    let case = Case::new();
    let (good, bad) = (case.owner.key(), key_of_another_kind());
    for (owner, donor) in [(&good, &bad), (&bad, &good)] {
        let known = Known { device: &meter(), domain: Domain::Test, head: &HEAD, owner, donor };
        let begun = Takeover::begin(&case.signed(), &known, TODAY, MIN_DELAY_SECONDS, &RustCrypto);
        assert_eq!(begun.err(), Some(NO_P256.into()));
    }
}

#[test]
fn the_bytes_are_these() {
    let case = Case::new();
    let expected = [
        b"\x85\x01\x78\x29abababababababababababababababab/IOT/0042\x58\x20".as_slice(),
        &HEAD,
        b"\x58\x20",
        &case.next.thumbprint(),
        b"\x50",
        &[0x0c; 16],
    ]
    .concat();
    assert_eq!(wire::encode(&case.claim()), expected);
    assert_eq!(case.claim().hash(&RustCrypto), RustCrypto.sha256(&[&expected]));
}

#[test]
fn not_a_byte_can_be_changed() {
    let case = Case::new();
    for (what, damaged) in damaged(&case.signed()) {
        let fault = case.try_begin(&damaged).expect_err(&what);
        assert!(matches!(fault, Fault::NotOwner | Fault::Malformed(_)), "{what}: {fault}");
    }
    let longer = [wire::encode(&case.claim()).as_slice(), &[0]].concat();
    assert_eq!(case.try_begin(&case.owner.signed(&longer, CLAIM)), Err(Malformed::TrailingBytes.into()));
    let (mut takeover, begun) = (case.begun(), case.begun());
    for (what, damaged) in damaged(&veto_by(&case.claim(), &case.donor)) {
        let fault = takeover.veto(&damaged, days(1), &RustCrypto).expect_err(&what);
        assert!(matches!(fault, Fault::Stranger | Fault::Malformed(_)), "{what}: {fault}");
    }
    assert_eq!(takeover, begun);
    let ripe = takeover.ripe(days(7)).unwrap();
    for (what, damaged) in damaged(&case.request(&case.next, "IOT/0042")) {
        let fault = ripe.voucher(&damaged, &case.device.key(), &RustCrypto).expect_err(&what);
        assert!(matches!(fault, Fault::NotDevice | Fault::Malformed(_)), "{what}: {fault}");
    }
}

#[test]
fn a_claim_is_named_by_what_it_says() {
    let case = Case::new();
    let twin = case.try_begin(&with_twin(&case.signed())).unwrap();
    assert_eq!(twin, case.begun(), "so it cannot be used twice");
}

#[test]
fn a_voucher_for_this_device_with_this_operator_only() {
    let case = Case::new();
    let takeover = case.begun();
    let ripe = takeover.ripe(days(7)).unwrap();
    let ask = |request: &[u8], device: &Party| ripe.voucher(request, &device.key(), &RustCrypto).map(|_| ());
    let voucher = |request: &[u8]| ask(request, &case.device);
    let good = case.request(&case.next, "IOT/0042");
    assert_eq!(voucher(&good), Ok(()));
    for operator in [&case.donor, &case.stranger, &case.owner] {
        assert_eq!(voucher(&case.request(operator, "IOT/0042")), Err(Fault::OtherOperator));
    }
    for serial in ["IOT/0043", "0042", "IOT", "abababababababababababababababab/IOT/0042"] {
        assert_eq!(voucher(&case.request(&case.next, serial)), Err(Fault::OtherDevice), "{serial}");
    }
    assert_eq!(ask(&good, &case.stranger), Err(Fault::NotDevice));
    let spki = case.next.key().spki();
    let pinned = |registrar| {
        let request = VoucherRequest { nonce: b"device's nonce", registrar, serial: "IOT/0042" };
        voucher(&request.sign(case.device.sign()).unwrap())
    };
    assert_eq!(pinned(Pin::Key(&spki)), Ok(()), "however the key is named");
    assert_eq!(pinned(Pin::Certificate(b"none")), Err(Fault::OtherOperator));
}

#[test]
fn it_ends() {
    let case = Case::new();
    let mut takeover = case.begun();
    assert!(takeover.ripe(days(7)).is_ok() && takeover.ripe(days(9)).is_ok(), "as often as the device asks");
    takeover.end();
    for late in [days(1), days(7), days(700)] {
        assert_eq!(takeover.ripe(late).err(), Some(Fault::Ended));
    }
    let veto = takeover.veto(&veto_by(&case.claim(), &case.owner), days(1), &RustCrypto);
    assert_eq!((veto, takeover.vetoed()), (Err(Fault::Ended), None));
}

#[test]
fn it_can_be_stored() {
    let case = Case::new();
    let (waiting, mut vetoed, mut ended) = (case.begun(), case.begun(), case.begun());
    vetoed.veto(&veto_by(&case.claim(), &case.donor), days(1), &RustCrypto).unwrap();
    ended.end();
    for takeover in [waiting, vetoed, ended] {
        let json = serde_json::to_string(&takeover).unwrap();
        let back: Takeover = serde_json::from_str(&json).unwrap();
        assert_eq!(back, takeover);
        assert_eq!(back.ripe(days(7)).err(), takeover.ripe(days(7)).err());
    }
}
