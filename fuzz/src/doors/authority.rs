//! What owners, users and other operators sign about a device: grants; deeds, takeovers, retirement receipts.
//!
//! - no panic;
//! - no signature counts but those that were made; with a marked one, what is believed says what was asked for;
//! - a change of owner is the next one, and a takeover is vetoed or not.

use std::sync::OnceLock;

use arrayvec::ArrayString;
use remote_provisioning::{
    authority::{
        Association, Deed, Grant, Granter,
        grant::{self, Terms},
        retirement::Retirement,
        takeover::{Claim, Known, MIN_DELAY_SECONDS, Takeover},
    },
    cose::sign1::Sign1,
    credential::{SNssai, ServiceProfile},
    crypto::{Crypto, PublicKey},
    identity::{DeviceId, Domain, PeerName},
    sim::{
        TODAY,
        maker::{keys, signer},
    },
    store::{KeyId, KeyStore},
    trust::Date,
    wire,
};

use super::{
    Choices, Input,
    documents::marked,
    glass::{FITS, Glass},
    memo::Memo,
};

const TOMORROW: Date = Date(TODAY.0 + 86_400);

struct Props {
    device: DeviceId,
    operator: PeerName,
    owner: PublicKey,
    donor: PublicKey,
    limit: ServiceProfile,
    granters: Vec<Granter>,
    token: Vec<u8>,
    association: Association,
    deed: Deed,
    claim: Claim,
    retirement: Retirement,
}

fn props() -> &'static Props {
    static PROPS: OnceLock<Props> = OnceLock::new();
    PROPS.get_or_init(|| {
        let owners = keys("Published test key for the doors: owner").unwrap();
        let owner = owners.public_key(KeyId(0)).unwrap();
        let donor = keys("Published test key for the doors: donor").unwrap().public_key(KeyId(0)).unwrap();
        let device = DeviceId::new(Some([0xab; 16]), "IOT/0042".parse().unwrap());
        let operator: PeerName = "provisioning.example-operator".parse().unwrap();
        let scope = ServiceProfile {
            gpsi: ArrayString::from("msisdn-491700000001").ok(),
            dnn: ArrayString::from("meters").ok(),
            s_nssai: Some(SNssai { sst: 1, sd: Some(0x00_c0ff) }),
            expiry: None,
            quota: Some(5_000_000),
        };
        let granters = vec![Granter::new("user", owner, Domain::Test).unwrap()];
        let grant = Grant {
            iss: "user",
            device: &device,
            operator: &operator,
            expires: TOMORROW,
            not_before: Some(TODAY),
            cti: b"number 1",
            scope: &scope,
        };
        let token = grant.sign(signer(&owners)).unwrap();
        let association = Association::first(&owner, None).unwrap();
        let deed = association.deed(&device, Domain::Test, &donor, scope.gpsi, TOMORROW).unwrap();
        let claim = Claim::new(Domain::Test, &device, [1; 32], [2; 32], [3; 16]).unwrap();
        let retirement = Retirement::new(Domain::Test, &device, 2, [4; 32]).unwrap();
        let limit = ServiceProfile { expiry: Some(TOMORROW.0), ..scope.clone() };
        Props { device, operator, owner, donor, limit, granters, token, association, deed, claim, retirement }
    })
}

// ------------------------------------------------------------------------------------------------------------- grant

pub(super) fn grant(bytes: &[u8]) {
    let Props { device, operator, limit, granters, token, .. } = props();
    let _ = grant::hash(bytes, &Memo);
    let terms = Terms { granters, device, operator, domain: Domain::Test, today: TODAY, limit };
    for crypto in [Glass::True, Glass::Marked] {
        let Ok(granted) = grant::verify(bytes, &terms, &crypto) else { continue };
        assert!(crypto == Glass::Marked || bytes.len() == token.len(), "a grant that nobody gave");
        assert!(granted.iss() == "user" && (8..=16).contains(&granted.cti().len()));
        assert!(granted.expires() > TODAY && granted.expires() <= TOMORROW);
        let permit = granted.first_use(true).unwrap();
        assert_eq!(Ok(*permit.hash()), grant::hash(bytes, &crypto));
        let ServiceProfile { gpsi, dnn, s_nssai, quota, .. } = permit.profile();
        assert_eq!((dnn, s_nssai), (&limit.dnn, &limit.s_nssai));
        assert!(quota.is_some() && *quota <= limit.quota && (gpsi.is_none() || *gpsi == limit.gpsi));
    }
}

// ------------------------------------------------------------------------------------------------- other documents

pub(super) fn others(data: &[u8]) {
    let Props { device, owner, donor, association, claim, retirement, .. } = props();
    let mut input = Input::new(data);
    let choice = input.byte();
    let crypto: &dyn Crypto = if choice & 0x80 == 0 { &Memo } else { &Glass::Marked };
    let marked = choice & 0x80 != 0;
    match choice % 4 {
        0 => {
            let (release, acceptance) = (input.chunk(), input.rest());
            let _ = Deed::offered(release);
            let changed = association.change(release, acceptance, device, Domain::Test, TODAY, crypto);
            if let Ok(changed) = changed {
                assert!(marked, "a deed that nobody signed");
                assert_eq!(changed.number(), association.number() + 1);
                let deed = Deed::offered(release).expect("it was read");
                assert_eq!((changed.owner(), changed.gpsi()), (&deed.owner, deed.gpsi.as_ref()));
                assert!(changed.change(release, acceptance, device, Domain::Test, TODAY, crypto).is_err(), "once");
            }
        }
        1 => {
            let known = Known { device, domain: Domain::Test, head: &claim.head, owner, donor };
            let (claim, veto) = (input.chunk(), input.rest());
            let Ok(begun) = Takeover::begin(claim, &known, TODAY, MIN_DELAY_SECONDS, crypto) else { return };
            assert!(marked, "a claim that nobody signed");
            let mut takeover = begun.first_use(true).unwrap();
            let ripe = takeover.ripe_at();
            assert!(takeover.ripe(TODAY).is_err() && takeover.ripe(ripe).is_ok());
            let vetoed = takeover.veto(veto, TODAY, crypto).is_ok();
            assert_eq!((vetoed, takeover.ripe(ripe).is_err()), (takeover.vetoed().is_some(), vetoed));
            takeover.end();
            assert!(takeover.ripe(ripe).is_err());
        }
        2 => {
            let bytes = input.rest();
            if let Ok(read) = Retirement::verify(bytes, donor, crypto) {
                assert!(marked, "a receipt that nobody signed");
                assert_eq!(read.sign(|_| Ok(FITS)).unwrap(), bytes);
                assert!(read.is_about(device) || bytes != retirement.sign(|_| Ok(FITS)).unwrap());
            }
        }
        _ => {
            let bytes = input.rest();
            if let Ok(read) = Claim::verify(bytes, owner, crypto) {
                assert!(marked, "a claim that nobody signed");
                assert_eq!(read.sign(|_| Ok(FITS)).unwrap(), bytes);
            }
            if let Ok(read) = wire::decode::<Deed>(bytes) {
                assert_eq!(wire::encode(&read), bytes);
            }
        }
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<super::seeds::Seed> {
    let Props { token, deed, claim, retirement, .. } = props();
    let marked_with =
        |context: &[u8], payload: &[u8]| wire::encode(&Sign1::create(payload, context, |_| Ok::<_, ()>(FITS)).unwrap());
    let two = |choice: u8, first: &[u8], second: &[u8]| {
        let len = u16::try_from(first.len()).unwrap().to_be_bytes();
        [&[choice], len.as_slice(), first, second].concat()
    };
    let deed = marked_with(b"", &wire::encode(deed));
    let claimed = claim.sign(|_| Ok(FITS)).unwrap();
    let retirement = retirement.sign(|_| Ok(FITS)).unwrap();
    let veto = claim.veto(|_| Ok(FITS), &Memo).unwrap();
    vec![
        ("grant", "good".into(), token.clone()),
        ("grant", "good-marked".into(), marked(token)),
        ("authority", "deed".into(), two(0x80, &deed, &deed)),
        ("authority", "takeover".into(), two(0x81, &claimed, &veto)),
        ("authority", "retirement".into(), [&[0x82], retirement.as_slice()].concat()),
        ("authority", "claim".into(), [&[0x83], claimed.as_slice()].concat()),
    ]
}
