//! Open5GS: subscribers in MongoDB, collection `subscribers`, as its WebUI and `open5gs-dbctl` write them.
//!
//! Each step is a database command in MongoDB Extended JSON: parse it with your driver's reader for that (`EJSON.parse`,
//! `bson_new_from_json`) and run it (`runCommand`). The last one finds `provisioning.supi`, `.epoch` and `.withdrawn` and
//! `security.k`, for an [`Entry`](super::Entry).
//!
//! - `security.sqn` has to be a 64-bit integer, which is what `$numberLong` says: of any other type Open5GS takes 0. It is
//!   the number to use next; Open5GS adds 32, one SEQ.
//! - Barred, the document has `barred-IMSI` for an `imsi`: neither HSS nor UDR finds it. `subscriber_status` would not do:
//!   the HSS passes it on, and nothing in the 5G core looks at it. `security` stays where it is, because an Open5GS that
//!   found `security` without `k` would take a K of zeros.
//! - A session that is open stays open: take it down at the MME or AMF.

use alloc::{string::String, string::ToString, vec::Vec};

use super::{Core, SecretText, json::Object, milenage_only, mongo, next, number};
use crate::{
    aka::Amf,
    credential::{SNssai, ServiceProfile},
    error::Code,
    identity::Supi,
    provisioning::{
        Question,
        question::{CoreCredential, UpTo},
    },
};

/// The subscriber database, with what goes beside K.
#[derive(Clone, Copy, Debug)]
pub struct Open5gs<'a> {
    /// The authentication management field.
    pub management_field: Amf,
    /// What a subscription is for that does not say so itself ([`CoreCredential::profile`]): its `gpsi`, if a number, becomes `msisdn`; its slice and data network the one slice with
    /// one session. What it does not name is as `open5gs-dbctl add` has it: SST 1, `internet`, 5QI 9, 1 Gbit/s.
    pub profile: &'a ServiceProfile,
}

impl Core for Open5gs<'_> {
    type Step = SecretText;

    fn steps(&self, question: &Question) -> Option<Result<Vec<SecretText>, Code>> {
        mongo::steps(self, question)
    }

    fn look(&self, supi: &Supi) -> Vec<SecretText> {
        Vec::from([mongo::read::<Self>(supi)])
    }

    fn serve(&self, what: &UpTo) -> Vec<SecretText> {
        mongo::serve(self, what)
    }
}

impl mongo::Dialect for Open5gs<'_> {
    const COLLECTION: &'static str = "subscribers";
    const NAME: &'static str = "imsi";
    const K: &'static str = "security.k";
    const AUTHENTICATION: &'static [&'static str] = &["security"];
    const REST: &'static [&'static str] =
        &["msisdn", "slice", "ambr", "imeisv", "mme_host", "mme_realm", "mme_timestamp", "purge_flag"];
    /// The HSS notes where a subscriber is by an update that makes the document if it is not there.
    const MAKES_STRAYS: bool = true;

    fn name(supi: &Supi) -> String {
        supi.as_str().to_string()
    }

    fn authentication(&self, credential: &CoreCredential, fields: &mut Object<'_>) -> Result<(), Code> {
        milenage_only(credential.algorithm)?;
        let sqn = number(next(credential.secrets.sqn)?);
        fields.object("security", |security| {
            security.hex("k", credential.secrets.k.bytes());
            security.null("op");
            security.hex("opc", credential.secrets.opc.bytes());
            security.hex("amf", &self.management_field);
            security.object("sqn", |long| long.text("$numberLong", &sqn.to_string()));
        });
        Ok(())
    }

    fn defaults(&self, fields: &mut Object<'_>) {
        fields.number("schema_version", 1_u64);
        fields.number("access_restriction_data", 32_u64);
        fields.number("network_access_mode", 0_u64);
        fields.number("subscriber_status", 0_u64);
        fields.number("operator_determined_barring", 0_u64);
        fields.number("subscribed_rau_tau_timer", 12_u64);
    }

    fn service(&self, profile: Option<&ServiceProfile>, fields: &mut Object<'_>) {
        let ServiceProfile { gpsi, dnn, s_nssai, .. } = profile.unwrap_or(self.profile);
        let SNssai { sst, sd } = s_nssai.unwrap_or(SNssai { sst: 1, sd: None });
        fields.texts("msisdn", gpsi.as_deref().and_then(msisdn));
        fields.one("slice", |slice| {
            slice.number("sst", sst);
            if let Some([_, sd @ ..]) = sd.map(u32::to_be_bytes) {
                slice.hex("sd", &sd);
            }
            slice.flag("default_indicator", true);
            slice.one("session", |session| {
                session.text("name", dnn.as_deref().unwrap_or("internet"));
                // IPv4v6.
                session.number("type", 3_u64);
                session.object("qos", |qos| {
                    qos.number("index", 9_u64);
                    qos.object("arp", |arp| {
                        arp.number("priority_level", 8_u64);
                        arp.number("pre_emption_capability", 1_u64);
                        arp.number("pre_emption_vulnerability", 2_u64);
                    });
                });
                bit_rate(session);
                session.texts("pcc_rule", []);
            });
        });
        bit_rate(fields);
    }
}

/// The digits of a number, with or without its prefix (TS 23.003 §28.8).
pub(super) fn msisdn(gpsi: &str) -> Option<&str> {
    let digits = gpsi.strip_prefix("msisdn-").unwrap_or(gpsi);
    ((5..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
}

fn bit_rate(fields: &mut Object<'_>) {
    fields.object("ambr", |ambr| {
        for direction in ["downlink", "uplink"] {
            ambr.object(direction, |rate| {
                rate.number("value", 1_000_000_000_u64);
                rate.number("unit", 0_u64);
            });
        }
    });
}
