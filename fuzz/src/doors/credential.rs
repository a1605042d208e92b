//! ID_CRED_x of the kinds that are no chain: a CCS or a CWT by value, a hash, a `kid`; and a CCS to be pinned.
//!
//! - no panic;
//! - nobody is believed but those who were pinned, or whom the issuer has signed; the issuer's key is the door's own, so
//!   that a CWT is whatever the fuzzer writes;
//! - who is believed has the credential that came, for the role and the domain that were asked for.

use std::sync::OnceLock;

use remote_provisioning::{
    cose::sign1::Sign1,
    identity::{Domain, Role},
    sim::{TODAY, identities as ids, maker},
    trust::{CredentialId, Issuer, MemoryAnchors, Pinned, learn, verify},
    wire,
};

use super::{Choices, Input, glass::Glass, memo::Memo};

fn anchors() -> &'static MemoryAnchors {
    static ANCHORS: OnceLock<MemoryAnchors> = OnceLock::new();
    ANCHORS.get_or_init(|| {
        let mut anchors = ids::operator_anchors();
        let issuer = Issuer::from_ccs(ids::raw_operator_ccs(), Role::Device, Domain::Test, &Memo).unwrap();
        anchors.add_issuer(issuer).unwrap();
        anchors
    })
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let bytes = input.rest();
    if let Ok(pinned) = Pinned::from_ccs(bytes, Role::Device, Domain::Test, &Memo) {
        assert_eq!(pinned.peer().credential(), bytes);
        let learned = learn(&CredentialId::Ccs(bytes), Role::Device, Domain::Test, &Memo).unwrap();
        assert_eq!(learned.get(), pinned.peer());
        if let Some(kid) = pinned.kid() {
            assert!(pinned.is_for(Role::Device, Domain::Test, &CredentialId::Kid(kid)));
        }
        assert!(!pinned.is_for(Role::Operator, Domain::Test, &CredentialId::Ccs(bytes)));
    }
    let _ = Issuer::from_ccs(bytes, Role::Device, Domain::Test, &Memo);
    let cwt;
    let claimed = if choice & 1 == 0 {
        match wire::decode::<CredentialId<'_>>(bytes) {
            Ok(claimed) => claimed,
            Err(_) => return,
        }
    } else {
        // The claims of a CWT, or all of it.
        cwt = if choice & 2 == 0 {
            wire::encode(&Sign1::create(bytes, &[], |_| Ok::<_, ()>(super::glass::FITS)).unwrap())
        } else {
            bytes.to_vec()
        };
        CredentialId::Cwt(&cwt)
    };
    let date = (choice & 4 == 0).then_some(TODAY);
    for crypto in [Glass::True, Glass::Marked] {
        let Ok(peers) = verify(&claimed, Role::Device, Domain::Test, anchors(), &crypto, date) else { continue };
        for peer in peers.iter() {
            assert!(peer.role() == Role::Device && peer.domain() == Domain::Test);
            match &claimed {
                CredentialId::Ccs(ccs) => assert_eq!((peer.credential(), *ccs), (*ccs, ids::raw_device_ccs())),
                CredentialId::Cwt(cwt) => {
                    assert_eq!(peer.credential(), *cwt);
                    assert!(crypto == Glass::Marked, "a CWT that nobody signed");
                }
                CredentialId::Kid(_) => assert_eq!(peer.credential(), ids::raw_device_ccs()),
                CredentialId::Chain(_) | CredentialId::Thumbprint { .. } => {
                    assert!(peer.credential().ends_with(ids::device_chain()[0]));
                }
            }
        }
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let name = maker::device_name().unwrap();
    let (ccs, chain) = (ids::raw_device_ccs(), ids::device_chain());
    let hash = remote_provisioning::crypto::Crypto::sha256(&Memo, &[chain[0]]);
    let id = |id: CredentialId<'_>| [&[0], wire::encode(&id).as_slice()].concat();
    let _ = name;
    let thumbprint = |algorithm, hash| id(CredentialId::Thumbprint { algorithm, hash });
    let cwt = wire::encode(&Sign1::create(ccs, &[], |_| Ok::<_, ()>(super::glass::FITS)).unwrap());
    [
        ("ccs", id(CredentialId::Ccs(ccs))),
        ("ccs-alone", [&[1], ccs].concat()),
        ("ccs-operator", [&[1], ids::raw_operator_ccs()].concat()),
        ("kid", id(CredentialId::Kid(ids::RAW_DEVICE_KID))),
        ("cwt", [&[3], cwt.as_slice()].concat()),
        ("cwt-id", id(CredentialId::Cwt(&cwt))),
        ("thumbprint", thumbprint(remote_provisioning::trust::SHA_256, &hash)),
        ("short-thumbprint", thumbprint(remote_provisioning::trust::SHA_256_64, &hash[..8])),
    ]
    .into()
}
