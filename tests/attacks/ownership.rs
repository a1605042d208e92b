//! 29 to 36: whose device it is, and whose subscription.

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{
        Association, Claim, Takeover, association,
        takeover::{Fault, Known, MIN_DELAY_SECONDS},
    },
    credential::{KeyName, derive_k},
    crypto::{Crypto, Hash},
    error::Voucher as Shown,
    provisioning::{
        Task,
        device::Introduction,
        message::Operation,
        receipt::{Event, Head, History, Receipt},
    },
    sim::{TODAY, identities},
    trust::{
        Peer, Usage,
        voucher::{self, Holder, Ownership},
    },
};

use super::*;

const DELAY: u64 = MIN_DELAY_SECONDS;

/// The donor's chain with an entry more.
fn handed_on(chain: &[u8], from: &MemoryKeyStore, to: &MemoryKeyStore, epoch: u32) -> Vec<u8> {
    let next = public(to).thumbprint(&RustCrypto);
    voucher::extend(chain, &public(from), &next, epoch, Domain::Test, maker::signer(from), &RustCrypto).unwrap()
}

/// What a device that holds this says to a chain that the owner of `keys` shows it.
fn show(chain: &[u8], keys: &MemoryKeyStore, held: Option<&Ownership>) -> Result<Ownership, Error> {
    let (name, anchors) = (maker::device_name().unwrap(), identities::device_anchors());
    let owner = Peer::new(b"it", public(keys), "op".parse().unwrap(), Role::Operator, Domain::Test, Usage::ANY);
    let holder = Holder { serial: &name, domain: Domain::Test, held, nonce: None, date: None };
    voucher::verify(chain, &holder, &owner, &anchors, &RustCrypto)
}

/// Attack: an owner hands the device on twice, from the same entry of the line, to two buyers.
/// Oracle: the device that took one calls the other a fork; the operator's log takes no second entry of one epoch.
#[test]
fn attack_29_handed_on_twice() {
    let [seller, buyer, other] = ["seller", "buyer", "other"].map(|name| maker::keys(name).unwrap());
    let sold = maker::voucher(&maker::device_name().unwrap(), &public(&seller)).unwrap();
    let held = show(&sold, &seller, None).unwrap();
    let (one, two) = (handed_on(&sold, &seller, &buyer, 2), handed_on(&sold, &seller, &other, 2));
    let held = show(&one, &buyer, Some(&held)).unwrap();
    assert_eq!(show(&two, &other, Some(&held)), Err(Shown::Stale.into()), "that epoch is taken");
    let later = handed_on(&sold, &seller, &other, 3);
    assert_eq!(show(&later, &other, Some(&held)), Err(Shown::Forked.into()));

    let mut lab = subscriber(29);
    let (id, to) = (lab.device_id(), |keys| public(keys).thumbprint(&RustCrypto));
    let [first, second] = [&buyer, &other].map(|keys| Task::hand_on(&id, &lab.account(), to(keys), 2).unwrap());
    assert_eq!(lab.carry_out(first), Ok(()));
    assert_eq!(lab.carry_out(second), Err(Error::Declined(Code::TryLater)), "made from the row before");
    assert_eq!(lab.account().released().map(|released| released.next), Some(to(&buyer)));
}

/// Attack: an owner from before shows its old voucher to get the device back.
/// Oracle: the device has gone on since, and calls it stale.
#[test]
fn attack_30_old_voucher_replayed() {
    let [seller, buyer] = ["seller", "buyer"].map(|name| maker::keys(name).unwrap());
    let sold = maker::voucher(&maker::device_name().unwrap(), &public(&seller)).unwrap();
    let chain = handed_on(&sold, &seller, &buyer, 2);
    let held = show(&chain, &buyer, None).unwrap();
    assert_eq!(show(&sold, &seller, Some(&held)), Err(Shown::Stale.into()));
    // Nor by an entry that hands it from itself to itself.
    let own = handed_on(&sold, &seller, &seller, 2);
    assert!(matches!(show(&own, &seller, Some(&held)), Err(Error::Untrusted(_))));
    assert_eq!(show(&chain, &buyer, Some(&held)), Ok(held));
}

/// A donor's subscriber, and its owner's claim to it, which begins today.
struct Hostage {
    lab: Lab,
    owner: MemoryKeyStore,
    claim: Claim,
    takeover: Takeover,
}

impl Hostage {
    fn new(seed: u64) -> Self {
        let mut lab = subscriber(seed);
        let (owner, donor) = (maker::keys("owner").unwrap(), lab.operator_keys.public_key(IDENTITY).unwrap());
        let sold = maker::voucher(&lab.device_config.name, &donor).unwrap();
        let head = voucher::outline(&sold, &RustCrypto).unwrap().head;
        let raw = Lab::raw(seed);
        let next = raw.operator_keys.public_key(IDENTITY).unwrap().thumbprint(&RustCrypto);
        let claim = Claim::new(Domain::Test, &lab.device_id(), head, next, [1; 16]).unwrap();
        let known = Known {
            device: &lab.device_id(),
            domain: Domain::Test,
            head: &head,
            owner: &public(&owner),
            donor: &donor,
        };
        let signed = claim.sign(maker::signer(&owner)).unwrap();
        let takeover = Takeover::begin(&signed, &known, TODAY, DELAY, &RustCrypto).unwrap().first_use(true).unwrap();
        // From now on the device asks its maker, and finds the next operator.
        lab.device_config.introduction = Introduction::VoucherLast { request: true };
        (lab.operator_config, lab.operator_keys) = (raw.operator_config, raw.operator_keys);
        let policy = core::mem::replace(&mut lab.home, remote_provisioning::sim::home::Home::laboratory().unwrap());
        lab.home.policy = policy.policy;
        lab.home.own(lab.device_config.name, sold);
        Self { lab, owner, claim, takeover }
    }

    /// The device asks, and the maker answers on this day.
    fn ask(&mut self, now: Date) -> Outcome {
        let takeover = self.takeover.clone();
        self.lab.home.masa = Box::new(move |request, device| {
            let voucher = takeover.ripe(now).ok()?.voucher(request, device, &RustCrypto).ok()?;
            maker::issue(&voucher, maker::MASA).ok()
        });
        self.lab.go(Goal::Transfer)
    }
}

/// Attack: the operator that has the device does not let it go.
/// Oracle: after the delay, the owner's claim and the maker's word move it, and its receipt proves that.
#[test]
fn attack_31_donor_keeps_the_device() {
    let mut hostage = Hostage::new(31);
    let (old, _) = hostage.lab.held().unwrap();
    assert_eq!(hostage.ask(Date(TODAY.0 + DELAY - 1)), refused(Code::NotEntitled));
    assert_eq!(hostage.lab.held(), Some((old, true)));
    assert_eq!(hostage.ask(Date(TODAY.0 + DELAY)), Ok(()));
    let (new, complete) = hostage.lab.held().unwrap();
    assert!(complete && new != old);
    hostage.lab.attach(&new);
    assert_eq!(hostage.lab.account().active().unwrap().owner_epoch, 2, "signed by the device");
}

/// Attack: a takeover that the owner did not want, or that the donor has good reason to stop.
/// Oracle: a veto of either within the delay stops it for good, and nobody else's does.
#[test]
fn attack_32_takeover_as_a_theft() {
    for by_owner in [false, true] {
        let mut hostage = Hostage::new(32);
        let before = hostage.lab.held();
        let donor = maker::keys_of(identities::operator_key()).unwrap();
        let late = Date(TODAY.0 + DELAY - 1);
        let stranger = hostage.claim.veto(maker::signer(&maker::keys("stranger").unwrap()), &RustCrypto).unwrap();
        assert!(hostage.takeover.veto(&stranger, late, &RustCrypto).is_err());
        let who = if by_owner { &hostage.owner } else { &donor };
        let veto = hostage.claim.veto(maker::signer(who), &RustCrypto).unwrap();
        hostage.takeover.veto(&veto, late, &RustCrypto).unwrap();
        assert_eq!(hostage.takeover.ripe(Date(TODAY.0 + 9 * DELAY)).err(), Some(Fault::Vetoed));
        assert_eq!(hostage.ask(Date(TODAY.0 + 9 * DELAY)), refused(Code::NotEntitled));
        assert_eq!(hostage.lab.held(), before);
    }
}

/// What the two have signed of a change from `from`.
fn deeds(
    from: &Association,
    device: &DeviceId,
    (old, new): (&MemoryKeyStore, &MemoryKeyStore),
    number: &str,
) -> (Vec<u8>, Vec<u8>) {
    let until = Date(TODAY.0 + 1_000);
    let deed = from.deed(device, Domain::Test, &public(new), ArrayString::from(number).ok(), until).unwrap();
    (deed.release(maker::signer(old)).unwrap(), deed.acceptance(maker::signer(new)).unwrap())
}

/// Attack: the seller of a device goes on using what it knew and what it could sign.
/// Oracle: its signatures are refused from the operator's log entry on, and the device gets a K that it never knew.
#[test]
fn attack_33_seller_keeps_control() {
    let [seller, buyer] = ["seller", "buyer"].map(|name| maker::keys(name).unwrap());
    let mut lab = subscriber(33);
    let (device, (old, _)) = (lab.device_id(), lab.held().unwrap());
    let first = Association::first(&public(&seller), None).unwrap();
    let (release, acceptance) = deeds(&first, &device, (&seller, &buyer), "msisdn-2");
    let change = |from: &Association, (release, acceptance): (&[u8], &[u8])| {
        from.change(release, acceptance, &device, Domain::Test, TODAY, &RustCrypto)
    };
    let next = change(&first, (&release, &acceptance)).unwrap();
    for association in [first, next.clone()] {
        let task = Task::associate(&device, &lab.account(), association);
        lab.carry_out(task).unwrap();
    }
    assert!(change(&next, (&release, &acceptance)).is_err(), "the same deed again");
    let (release, acceptance) = deeds(&next, &device, (&seller, &seller), "msisdn-1");
    assert_eq!(change(&next, (&release, &acceptance)), Err(association::Fault::NotReleased));
    assert_eq!(lab.account().wanted(), Some(Operation::Reassociate), "by default");
    let kept = lab.home.challenge(&old.id.supi, &mut lab.rng).unwrap();
    assert_eq!(lab.go(Goal::Reassociate), Ok(()));
    let answer = authenticate(&kept.challenge, &mut lab.store, &mut SoftUsim).unwrap();
    assert!(matches!(answer, Aka::MacFailure) && is_served(&mut lab), "another K");
}

/// Attack: somebody steals the order for a device and uses it on a device of its own.
/// Oracle: it names a device, and is refused from any other.
#[test]
fn attack_34_stolen_order() {
    let owner = maker::keys("owner").unwrap();
    for (for_this_one, expected) in [(false, refused(Code::GrantOtherDevice)), (true, Ok(()))] {
        let mut lab = taking(Lab::new(34), &owner);
        let device = if for_this_one { lab.device_id() } else { maker::raw_device_id().unwrap() };
        assert_eq!(lab.go(Goal::OnDemand(granted(&owner, &device, 1_000, Date(TODAY.0 + 86_400)))), expected);
        assert_eq!((lab.held().is_some(), lab.home.subscribers().count()), (for_this_one, usize::from(for_this_one)));
    }
}

/// Attack: all that one device was sent is played to a second one; or a second one asks for the same subscription.
/// Oracle: it gets no credential of it, and another K for the same name.
#[test]
fn attack_35_one_subscription_in_two_devices() {
    let mut first = Lab::voucher_last(35);
    let messages = first.session(6).messages;
    let mut second = Lab::voucher_last(3_535);
    for number in [2, 4, 6] {
        let mut session = second.session(number);
        assert!(second.tell_device(&mut session.device, &messages[number - 1]).is_err(), "{number}");
        second = Lab::voucher_last(3_535);
    }
    // The same SUPI, epoch and txn in two sessions.
    let supi = "001010000000000".parse().unwrap();
    let name = KeyName {
        algorithm: remote_provisioning::credential::Algorithm::Milenage,
        supi: &supi,
        epoch: 1,
        txn: &[7; 16],
    };
    let [one, two] = [35, 3_535].map(|seed| {
        let met = Met::new(&mut Lab::voucher_last(seed));
        // Of one seed the ephemeral keys are the same on the operator's side here: the device's make the difference.
        derive_k(&name, met.handshake.session(), &RustCrypto).unwrap()
    });
    assert!(one.bytes() != two.bytes());
}

/// Attack: somebody who works at a reseller puts another's number under an own key, or leaves a receipt out.
/// Oracle: without both owners' signatures nothing changes; what is missing in a history is named.
#[test]
fn attack_36_number_swapped_by_an_insider() {
    let [owner, insider] = ["owner", "insider"].map(|name| maker::keys(name).unwrap());
    let device = maker::device_id().unwrap();
    let first = Association::first(&public(&owner), ArrayString::from("msisdn-1").ok()).unwrap();
    let change = |release: &[u8], acceptance: &[u8]| {
        first.change(release, acceptance, &device, Domain::Test, TODAY, &RustCrypto)
    };
    // Signs for the owner; or shows what the owner has signed about something else.
    let (release, acceptance) = deeds(&first, &device, (&insider, &insider), "msisdn-1");
    assert_eq!(change(&release, &acceptance), Err(association::Fault::NotReleased));
    let (wanted, _) = deeds(&first, &device, (&owner, &owner), "msisdn-2");
    assert_eq!(change(&wanted, &wanted), Err(association::Fault::NotAccepted));
    let (to_insider, _) = deeds(&first, &device, (&owner, &insider), "msisdn-2");
    assert_eq!(change(&to_insider, &acceptance), Err(association::Fault::OtherDeed));

    let mut previous: Option<Hash> = None;
    let receipts: Vec<_> = (1..=4)
        .map(|sequence| {
            let (txn, supi_hash, package_hash, domain) = ([1; 16], [2; 32], [3; 32], Domain::Test);
            let event = Event::Activated;
            let receipt = Receipt {
                domain,
                sequence,
                previous,
                txn,
                event,
                supi_hash,
                epoch: 1,
                package_hash,
                owner_epoch: 1,
                grant: None,
            };
            let receipt = receipt.sign(maker::signer(&owner)).unwrap();
            previous = Some(RustCrypto.sha256(&[&receipt]));
            receipt
        })
        .collect();
    let mut history = History::after(Head::default());
    let audit = history.extend([&receipts[0][..], &receipts[3]], &public(&owner), &RustCrypto);
    assert_eq!(audit, Err(remote_provisioning::provisioning::receipt::Fault::Gap { from: 2, to: 3 }));
}
