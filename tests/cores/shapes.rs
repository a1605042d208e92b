//! Documents and rows, field by field, against what the cores' own tools write and their own code reads.

use core::fmt::Debug;

use remote_provisioning::{
    aka::Sqn,
    cores::{
        Core, Entry, SecretText,
        free5gc::{Free5gc, Shape, authentication_subscription},
        open5gs::Open5gs,
        osmo_hlr::{OsmoHlr, Statement, Value as Parameter},
        srsran,
    },
    credential::ServiceProfile,
    error::Code,
    provisioning::Question,
};
use serde_json::{Value, json};

use crate::{credential, mongo::Collection, profile, put, up_to};

const IMSI: &str = "001010000000007";
const AMF: [u8; 2] = [0x80, 0];
const K: &str = "42424242424242424242424242424242";
const OPC: &str = "43434343434343434343434343434343";

fn run(collection: &mut Collection, core: &impl Core<Step = SecretText>, question: &Question) {
    for step in core.steps(question).unwrap().unwrap() {
        collection.run(step.as_str());
    }
}

/// The fields of `open5gs-dbctl add`, and of its `add_ue_with_slice`; `sqn` as `ogs_dbi_auth_info` wants it.
#[test]
fn open5gs_has_the_document_of_its_own_tools() {
    let profile = profile();
    let core = Open5gs { management_field: AMF, profile: &profile };
    let mut collection = Collection::default();
    run(&mut collection, &core, &put(IMSI, 7, 0x42));
    let rate =
        json!({ "downlink": { "value": 1_000_000_000, "unit": 0 }, "uplink": { "value": 1_000_000_000, "unit": 0 } });
    let arp = json!({ "priority_level": 8, "pre_emption_capability": 1, "pre_emption_vulnerability": 2 });
    let expected = json!({
        "_id": { "$oid": "fffffffff001010000000007" },
        "schema_version": 1,
        "imsi": IMSI,
        "msisdn": ["491701234567"],
        "slice": [{
            "sst": 1,
            "sd": "010203",
            "default_indicator": true,
            "session": [{
                "name": "iot",
                "type": 3,
                "qos": { "index": 9, "arp": arp },
                "ambr": rate,
                "pcc_rule": [],
            }],
        }],
        "security": { "k": K, "op": null, "opc": OPC, "amf": "8000", "sqn": { "$numberLong": "64" } },
        "ambr": rate,
        "access_restriction_data": 32,
        "network_access_mode": 0,
        "subscriber_status": 0,
        "operator_determined_barring": 0,
        "subscribed_rau_tau_timer": 12,
        "provisioning": {
            "supi": IMSI,
            "device": "abababababababababababababababab/meter \"1\", \\ north",
            "epoch": 7,
            "barred": 0,
            "withdrawn": 0,
        },
    });
    assert_eq!((collection.0.len(), &collection.0[0]), (1, &expected));

    // Neither an edit nor a bar touches K, OPc or SQN, which the core has moved meanwhile.
    collection.0[0]["security"]["sqn"] = json!({ "$numberLong": "9600" });
    let plain = ServiceProfile::default();
    for step in (Open5gs { management_field: [0; 2], profile: &plain }).serve(&up_to(IMSI, 7)) {
        collection.run(step.as_str());
    }
    assert_eq!(collection.0[0]["slice"][0]["session"][0]["name"], "internet");
    assert_eq!((&collection.0[0]["slice"][0]["sd"], &collection.0[0]["msisdn"]), (&Value::Null, &json!([])));
    run(&mut collection, &core, &Question::BarInCore(up_to(IMSI, 7)));
    assert_eq!(collection.0[0]["imsi"], format!("barred-{IMSI}"));
    assert_eq!(collection.0[0]["security"]["sqn"], json!({ "$numberLong": "9600" }));
    assert_eq!(collection.0[0]["security"]["k"], K);

    // The HSS notes the barred subscriber's MME in a document of its own making; that does not keep it out later.
    collection.0.push(json!({ "_id": { "$oid": "0".repeat(24) }, "imsi": IMSI, "mme_host": "mme" }));
    run(&mut collection, &core, &Question::AdmitToCore(up_to(IMSI, 7)));
    assert_eq!((collection.0.len(), &collection.0[0]["imsi"]), (1, &json!(IMSI)));

    // Gone, but for its epochs; and a later subscription under the SUPI is whole again.
    run(&mut collection, &core, &Question::RemoveFromCore(up_to(IMSI, 7)));
    assert!(!collection.0[0].to_string().contains(K) && collection.0[0].get("slice").is_none());
    run(&mut collection, &core, &put(IMSI, 7, 0x42));
    assert!(!collection.0[0].to_string().contains(K), "withdrawn");
    run(&mut collection, &core, &put(IMSI, 8, 0x42));
    assert_eq!(collection.0[0]["slice"], expected["slice"]);
}

/// What free5GC's webconsole writes into the UDR's collection (`WebAuthSubToModels`), what its REST interface takes
/// (`WebAuthenticationSubscription`), and what TS 29.505 has for both.
#[test]
fn authentication_subscriptions_have_each_shape() {
    let standard = json!({
        "authenticationMethod": "5G_AKA",
        "encPermanentKey": K,
        "sequenceNumber": {
            "sqnScheme": "NON_TIME_BASED",
            "sqn": "000000000040",
            "lastIndexes": { "ausf": 0 },
            "indLength": 5,
            "difSign": "POSITIVE",
        },
        "authenticationManagementField": "8000",
        "algorithmId": "milenage",
        "encOpcKey": OPC,
    });
    let free5gc = json!({
        "authenticationMethod": "5G_AKA",
        "encPermanentKey": K,
        "sequenceNumber": { "sqnScheme": "GENERAL", "sqn": "000000000040" },
        "authenticationManagementField": "8000",
        "encOpcKey": OPC,
    });
    let webconsole = json!({
        "authenticationMethod": "5G_AKA",
        "permanentKey": { "permanentKeyValue": K, "encryptionKey": 0, "encryptionAlgorithm": 0 },
        "sequenceNumber": "000000000040",
        "authenticationManagementField": "8000",
        "opc": { "opcValue": OPC, "encryptionKey": 0, "encryptionAlgorithm": 0 },
    });
    for (shape, expected) in
        [(Shape::Standard, standard), (Shape::Free5gc, free5gc.clone()), (Shape::Webconsole, webconsole)]
    {
        let text = authentication_subscription(&credential(IMSI, 7, 0x42), AMF, shape).unwrap();
        assert_eq!(serde_json::from_str::<Value>(text.as_str()).unwrap(), expected, "{shape:?}");
    }
    let mut collection = Collection::default();
    run(&mut collection, &Free5gc { management_field: AMF }, &put(IMSI, 7, 0x42));
    let document = collection.0[0].as_object().unwrap();
    assert_eq!(document["ueId"], format!("imsi-{IMSI}"));
    for (field, value) in free5gc.as_object().unwrap() {
        assert_eq!(&document[field], value, "{field}");
    }
}

/// The columns of `user_db.csv`, as srsRAN's HSS reads and writes them.
#[test]
fn srsran_has_a_row_that_never_goes_back() {
    let other = "ue1,xor,001010123456789,00112233445566778899aabbccddeeff,opc,63bfa50ee6523365ff14c1f45f88737d,\
                 9001,000000001234,7,dynamic";
    let file = format!("# Name,Auth,IMSI\n{other}\n");
    let put = |file: &str, epoch, key| {
        srsran::put(file, &credential(IMSI, epoch, key), AMF, 9).map(|text| text.as_str().to_owned())
    };
    let remove = |file: &str, epoch| srsran::remove(file, &up_to(IMSI, epoch)).as_str().to_owned();
    let first = put(&file, 7, 0x42).unwrap();
    let row = format!("epoch-7,mil,{IMSI},{K},opc,{OPC},8000,000000000040,9,dynamic\n");
    assert_eq!(first, format!("{file}{row}"));
    // The HSS has used numbers.
    let used = first.replace("000000000040", "0000000007e3");
    assert_eq!(put(&used, 7, 0x42).unwrap(), used, "it has it already");
    assert_eq!(put(&used, 7, 0x43).unwrap_err(), Code::Conflict);
    assert_eq!(put(&used, 6, 0x42).unwrap_err(), Code::Conflict);
    let newer = put(&used, 8, 0x44).unwrap();
    assert!(!newer.contains(K) && newer.starts_with(&file) && newer.lines().count() == 3);
    assert_eq!(remove(&newer, 7), newer);
    assert_eq!(remove(&newer, 8), file);
    let foreign = file.replace("001010123456789", IMSI);
    assert_eq!(put(&foreign, 9, 0x42).unwrap_err(), Code::Conflict, "somebody else's row");
    assert_eq!(remove(&foreign, 9), foreign);
}

#[test]
fn nothing_shows_k_and_no_text_outgrows_its_memory() {
    // service-profile = { 1: gpsi, 2: dnn }, as long as they may be; and quotes in the device's name.
    let mut long = b"\xa2\x01\x78\x80".to_vec();
    long.extend([b'"'; 128]);
    long.extend(b"\x02\x78\x64");
    long.extend([b'"'; 100]);
    let profile: ServiceProfile = remote_provisioning::wire::decode(&long).unwrap();
    let question = || {
        let mut held = credential(IMSI, u32::MAX, 0x42);
        held.device = crate::device(&"\"".repeat(64));
        Question::PutIntoCore(Box::new(held))
    };
    let silent = |debug: &dyn Debug| assert!(!format!("{debug:?}").contains("4242"), "{debug:?}");
    let mongo: [&dyn Core<Step = SecretText>; 2] =
        [&Open5gs { management_field: AMF, profile: &profile }, &Free5gc { management_field: AMF }];
    for core in mongo {
        let steps = core.steps(&question()).unwrap().unwrap();
        assert!(steps.iter().any(|step| step.as_str().contains(K)));
        assert!(steps.iter().all(|step| step.as_str().len() < SecretText::MAX_LEN));
        silent(&steps);
    }
    let steps = OsmoHlr { cs: true, ps: true, profile: &profile }.steps(&question()).unwrap().unwrap();
    let has_k = |step: &Statement| matches!(step.parameters.get(3), Some(Parameter::Text(text)) if text.as_str() == K);
    assert!(steps.iter().any(has_k));
    silent(&steps);
    silent(&Entry::new(IMSI, 1, 0, Some(K)));
}

#[test]
fn what_a_core_cannot_hold_is_refused() {
    let profile = ServiceProfile::default();
    let osmo = OsmoHlr { cs: true, ps: true, profile: &profile };
    let short = osmo.steps(&put("00101", 1, 1)).unwrap().unwrap_err();
    assert_eq!(short, Code::Conflict, "osmo-hlr reads IMSIs of at least six digits");
    let mut used_up = credential(IMSI, 1, 1);
    used_up.secrets.sqn = Sqn::from_bytes([0xff; 6]);
    assert_eq!(authentication_subscription(&used_up, AMF, Shape::Standard).unwrap_err(), Code::Conflict);
    for (supi, k) in
        [("1", Some(K)), (IMSI, Some("42")), (IMSI, Some(&K.replace('4', "+"))), (IMSI, Some(&K.replace("42", "é")))]
    {
        assert!(Entry::new(supi, 1, 0, k).is_err(), "{supi} {k:?}");
    }
}

#[test]
fn what_a_credential_itself_is_for_goes_before_what_all_get() {
    let plain = ServiceProfile::default();
    let mut granted = credential(IMSI, 7, 0x42);
    granted.profile = Some(profile());
    let question = Question::PutIntoCore(Box::new(granted));
    let mut collection = Collection::default();
    run(&mut collection, &Open5gs { management_field: AMF, profile: &plain }, &question);
    let document = &collection.0[0];
    assert_eq!((&document["msisdn"], &document["slice"][0]["sd"]), (&json!(["491701234567"]), &json!("010203")));
    let steps = OsmoHlr { cs: true, ps: true, profile: &plain }.steps(&question).unwrap().unwrap();
    let is = |parameter: &Parameter, value| matches!(parameter, Parameter::Text(text) if text.as_str() == value);
    for value in ["491701234567", "iot"] {
        assert!(steps.iter().any(|step| step.parameters.iter().any(|it| is(it, value))), "{value}");
    }
}
