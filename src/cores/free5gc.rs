//! TS 29.505 `AuthenticationSubscription`, and free5GC, which keeps one in MongoDB.
//!
//! [`authentication_subscription`] gives the document in the shapes in use:
//!
//! | [`Shape`] | K | SQN | OPc |
//! |---|---|---|---|
//! | `Standard` | `encPermanentKey` | `sequenceNumber`: `sqnScheme`, `sqn`, `lastIndexes`, `indLength`, `difSign` | `encOpcKey` |
//! | `Free5gc` | `encPermanentKey` | `sequenceNumber`: `sqnScheme`, `sqn` | `encOpcKey` |
//! | `Webconsole` | `permanentKey.permanentKeyValue` | `sequenceNumber`, a string | `opc.opcValue` |
//!
//! `Webconsole` is what its REST interface takes. That has no place for an epoch and cannot compare, so it is for a
//! laboratory; [`Free5gc`] writes where the UDR reads, collection
//! `subscriptionData.authenticationData.authenticationSubscription`. What the webconsole shows of K comes from a collection
//! of its own, and so does the service: am-data and sm-data are not touched here, and [`Core::serve`] has no steps.
//!
//! Steps are run as those of [`open5gs`](super::open5gs); the last one finds `provisioning.supi`, `.epoch` and `.withdrawn`
//! and `encPermanentKey`. Barred, the document has `barred-` before its `ueId`, and the UDR does not find it.
//!
//! **What free5GC can undo.** Its UDR stores a new SQN by reading the document, and writing all its fields back. A re-key
//! that falls between the two is undone whole, epoch and K together; so it is seen by [`Core::look`], and the same put again
//! repairs it. Where that must not happen, keep the subscriber out of the core for the moment: `BarInCore`, put, `AdmitToCore`.

use alloc::{format, string::String, vec::Vec};

use super::{
    Core, SecretText,
    json::{Object, document},
    milenage_only, mongo, next,
};
use crate::{
    aka::{Amf, Sqn},
    credential::ServiceProfile,
    error::Code,
    identity::Supi,
    provisioning::{
        Question,
        question::{CoreCredential, UpTo},
    },
};

/// How an `AuthenticationSubscription` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All that TS 29.505 has for Milenage.
    Standard,
    /// As free5GC's UDR keeps it.
    Free5gc,
    /// As free5GC's webconsole takes it.
    Webconsole,
}

/// The `AuthenticationSubscription` of a credential. `sqn` in it is the number to use next.
///
/// # Errors
/// As [`Core::steps`].
pub fn authentication_subscription(
    credential: &CoreCredential,
    management_field: Amf,
    shape: Shape,
) -> Result<SecretText, Code> {
    let sqn = possible(credential)?;
    Ok(document(|fields| subscription(credential, management_field, sqn, shape, fields)))
}

fn possible(credential: &CoreCredential) -> Result<Sqn, Code> {
    milenage_only(credential.algorithm)?;
    next(credential.secrets.sqn)
}

fn subscription(credential: &CoreCredential, amf: Amf, sqn: Sqn, shape: Shape, fields: &mut Object<'_>) {
    let (k, opc) = (credential.secrets.k.bytes(), credential.secrets.opc.bytes());
    fields.text("authenticationMethod", "5G_AKA");
    fields.hex("authenticationManagementField", &amf);
    if shape == Shape::Webconsole {
        for (name, value, bytes) in [("permanentKey", "permanentKeyValue", k), ("opc", "opcValue", opc)] {
            fields.object(name, |key| {
                key.hex(value, bytes);
                key.number("encryptionKey", 0_u64);
                key.number("encryptionAlgorithm", 0_u64);
            });
        }
        fields.hex("sequenceNumber", &sqn.to_bytes());
        return;
    }
    fields.hex("encPermanentKey", k);
    fields.hex("encOpcKey", opc);
    if shape == Shape::Standard {
        fields.text("algorithmId", "milenage");
    }
    fields.object("sequenceNumber", |number| {
        number.text("sqnScheme", if shape == Shape::Standard { "NON_TIME_BASED" } else { "GENERAL" });
        number.hex("sqn", &sqn.to_bytes());
        if shape == Shape::Standard {
            number.object("lastIndexes", |indexes| indexes.number("ausf", 0_u64));
            number.number("indLength", 5_u64);
            number.text("difSign", "POSITIVE");
        }
    });
}

/// The UDR's database.
#[derive(Clone, Copy, Debug)]
pub struct Free5gc {
    /// The authentication management field.
    pub management_field: Amf,
}

impl Core for Free5gc {
    type Step = SecretText;

    fn steps(&self, question: &Question) -> Option<Result<Vec<SecretText>, Code>> {
        mongo::steps(self, question)
    }

    fn look(&self, supi: &Supi) -> Vec<SecretText> {
        Vec::from([mongo::read::<Self>(supi)])
    }

    /// None: the service is in other collections.
    fn serve(&self, _: &UpTo) -> Vec<SecretText> {
        Vec::new()
    }
}

impl mongo::Dialect for Free5gc {
    const COLLECTION: &'static str = "subscriptionData.authenticationData.authenticationSubscription";
    const NAME: &'static str = "ueId";
    const K: &'static str = "encPermanentKey";
    const AUTHENTICATION: &'static [&'static str] =
        &["encPermanentKey", "encOpcKey", "sequenceNumber", "authenticationMethod", "authenticationManagementField"];
    const REST: &'static [&'static str] = &[];
    const MAKES_STRAYS: bool = false;

    fn name(supi: &Supi) -> String {
        format!("{supi}")
    }

    fn authentication(&self, credential: &CoreCredential, fields: &mut Object<'_>) -> Result<(), Code> {
        let sqn = possible(credential)?;
        subscription(credential, self.management_field, sqn, Shape::Free5gc, fields);
        Ok(())
    }

    fn defaults(&self, _: &mut Object<'_>) {}

    fn service(&self, _: Option<&ServiceProfile>, _: &mut Object<'_>) {}
}
