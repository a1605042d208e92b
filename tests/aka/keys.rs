//! The keys below CK and IK in 5G (TS 33.501 Annex A).

use remote_provisioning::{
    aka::{
        Challenge, Keys, Output,
        keys::{AccessType, KAusf, KSeaf, ServingNetworkName, hres_star, res_star},
    },
    error::Malformed,
    identity::Plmn,
};

use crate::case::{Case, hex};

/// CK, IK and RES of a case.
pub(crate) fn keys(case: &Case) -> Keys {
    let output = |name| Output::from_slice(&case.hex(name)).unwrap();
    let mut keys = Keys::default();
    (keys.res, keys.ck, keys.ik) = (output("res"), output("ck"), output("ik"));
    keys
}

#[test]
fn the_hierarchy_is_as_published() {
    let (mut hres_stars, mut hierarchies) = (0, 0);
    for case in Case::all(include_str!("../vectors/aka_5g.json")) {
        let (keys, rand) = (keys(&case), case.bytes("rand"));
        let name: ServingNetworkName = case.text("serving_network_name").parse().unwrap();
        assert_eq!(name, ServingNetworkName::new(&Plmn::new("001", "01").unwrap()));
        let res_star = res_star(&keys, &name, &rand);
        case.check("res_star", &res_star);
        if case.0.get("hres_star").is_some() {
            case.check("hres_star", &hres_star(&rand, &res_star));
            hres_stars += 1;
        }
        if case.0.get("kausf").is_none() {
            continue;
        }

        let mut autn = [0; 16];
        autn[..6].copy_from_slice(&case.hex("sqn_xor_ak"));
        let k_ausf = KAusf::new(&keys, &name, &Challenge { rand, autn });
        case.check("kausf", k_ausf.secret().bytes());
        let k_seaf = k_ausf.k_seaf(&name);
        case.check("kseaf", k_seaf.secret().bytes());
        let k_amf = k_seaf.k_amf(case.text("supi"), &case.hex("abba")).unwrap();
        case.check("kamf", k_amf.secret().bytes());
        case.check("access_type", &[1]);
        let count = u32::from_be_bytes(case.bytes("uplink_nas_count"));
        let k_gnb = k_amf.k_gnb(count, AccessType::ThreeGpp);
        case.check("kgnb", k_gnb.secret().bytes());
        assert_ne!(k_amf.k_gnb(count + 1, AccessType::ThreeGpp).secret().bytes(), k_gnb.secret().bytes());
        assert_ne!(k_amf.k_gnb(count, AccessType::NonThreeGpp).secret().bytes(), k_gnb.secret().bytes());
        assert_eq!(format!("{k_ausf:?} {k_seaf:?} {k_amf:?} {k_gnb:?}"), "KAusf(..) KSeaf(..) KAmf(..) KGnb(..)");
        hierarchies += 1;
    }
    assert_eq!((hres_stars, hierarchies), (1, 1), "in the file");
}

/// Nobody publishes numbers: these were computed with Python's `hmac` from the octets that §A.17 to §A.20 name.
#[test]
fn steering_and_updates_follow_the_clauses() {
    let k_ausf = KAusf::from_slice(&[7; 32]).unwrap();
    let with_list = k_ausf.sor_mac_i_ausf(&[1], 2, Some(b"list")).unwrap();
    assert_eq!(hex(&with_list), "d97ce8aff30c3cce43e8be306a872715");
    assert_eq!(hex(&k_ausf.sor_mac_i_ausf(&[1], 2, None).unwrap()), "13fd371ac4a26ae4ab467ac47fa1ff85");
    assert_eq!(hex(&k_ausf.sor_mac_i_ue(2)), "5c5c12909c14f11d0048be1f6e3a89f9");
    assert_eq!(hex(&k_ausf.upu_mac_i_ausf(b"data", 0x0102).unwrap()), "1b5224bcb7b13918911492f9e4f3c05d");
    assert_eq!(hex(&k_ausf.upu_mac_i_ue(0x0102)), "3776439176dcc1d0bdcedf91e7b03e4f");
}

#[test]
fn what_has_no_length_field_is_refused() {
    let (fits, too_long) = (vec![0; 65_535], vec![0; 65_536]);
    let k_ausf = KAusf::from_slice(&[7; 32]).unwrap();
    assert!(k_ausf.sor_mac_i_ausf(&fits, 0, Some(&fits)).is_ok());
    assert!(k_ausf.sor_mac_i_ausf(&too_long, 0, None).is_err());
    assert!(k_ausf.sor_mac_i_ausf(&[], 0, Some(&too_long)).is_err());
    assert!(k_ausf.upu_mac_i_ausf(&fits, 0).is_ok() && k_ausf.upu_mac_i_ausf(&too_long, 0).is_err());
    let k_seaf = KSeaf::from_slice(&[7; 32]).unwrap();
    assert!(k_seaf.k_amf("001010123456789", &too_long).is_err());
    assert!(k_seaf.k_amf(&"1".repeat(65_536), &[0, 0]).is_err());
    assert!(KAusf::from_slice(&[7; 31]).is_err());
}

#[test]
fn the_mnc_in_a_network_name_has_three_digits() {
    for (mcc, mnc, name) in [
        ("262", "02", "5G:mnc002.mcc262.3gppnetwork.org"),
        ("310", "410", "5G:mnc410.mcc310.3gppnetwork.org"),
        ("999", "070", "5G:mnc070.mcc999.3gppnetwork.org"),
    ] {
        assert_eq!(ServingNetworkName::new(&Plmn::new(mcc, mnc).unwrap()).as_str(), name);
    }
}

#[test]
fn a_private_network_has_its_nid_in_the_name() {
    let plmn = Plmn::new("999", "99").unwrap();
    let name = ServingNetworkName::with_nid(&plmn, 0x0ab_cdef_0123).unwrap();
    assert_eq!(name.as_str(), "5G:mnc099.mcc999.3gppnetwork.org:0ABCDEF0123");
    assert_eq!(name.as_str().parse(), Ok(name));
    assert_eq!(ServingNetworkName::with_nid(&plmn, (1 << 44) - 1).unwrap().to_string().len(), 44);
    assert!(ServingNetworkName::with_nid(&plmn, 1 << 44).is_err());
}

#[test]
fn a_network_name_has_one_spelling() {
    for text in [
        "",
        "5G:",
        "5G:mnc01.mcc001.3gppnetwork.org",
        "5g:mnc001.mcc001.3gppnetwork.org",
        "5G:mnc001.mcc001.3gppnetwork.org ",
        "5G:mnc001.mcc01.3gppnetwork.org",
        "5G:mnc0x1.mcc001.3gppnetwork.org",
        "5G:mnc001.mcc001.3gppnetwork.org:",
        "5G:mnc001.mcc001.3gppnetwork.org:0abcdef0123",
        "5G:mnc001.mcc001.3gppnetwork.org:ABCDEF0123",
        "5G:mnc001.mcc001.3gppnetwork.org:+ABCDEF0123",
        "5G:mnc001.mcc001.3gppnetwork.org:10ABCDEF0123",
    ] {
        assert_eq!(text.parse::<ServingNetworkName>(), Err(Malformed::Text), "{text:?}");
    }
}
