//! Cores on MongoDB: one document for each SUPI, and one atomic update for each thing that must not be torn.
//!
//! A document is found by an `_id` made of its SUPI, so there are never two. The core finds it by another field: that holds
//! the SUPI while it may be let in, and `barred-` before it while not, so that no code of the core has to know of bars, and
//! what the core writes into a document that was barred under its hands goes nowhere.

use alloc::{format, string::String, vec::Vec};

use super::{
    SecretText,
    json::{Object, document},
};
use crate::{
    credential::ServiceProfile,
    error::Code,
    identity::Supi,
    provisioning::{
        Question,
        question::{CoreCredential, Lost, UpTo},
    },
};

/// What one core's documents look like.
pub(super) trait Dialect {
    const COLLECTION: &'static str;
    /// The field that the core finds a document by.
    const NAME: &'static str;
    /// Where K stands.
    const K: &'static str;
    /// The fields of a credential: without them nobody can authenticate.
    const AUTHENTICATION: &'static [&'static str];
    /// The fields of the service, and what the core notes of the subscriber. None: they are elsewhere.
    const REST: &'static [&'static str];
    /// Whether the core itself may make documents with a name and nothing else.
    const MAKES_STRAYS: bool;

    fn name(supi: &Supi) -> String;
    /// The fields of [`Dialect::AUTHENTICATION`].
    fn authentication(&self, credential: &CoreCredential, fields: &mut Object<'_>) -> Result<(), Code>;
    /// The fields that a new document has besides.
    fn defaults(&self, fields: &mut Object<'_>);
    /// The fields of the service: for what this credential is, if it says so.
    fn service(&self, profile: Option<&ServiceProfile>, fields: &mut Object<'_>);
}

/// The steps of [`Core::steps`](super::Core::steps).
pub(super) fn steps<D: Dialect>(dialect: &D, question: &Question) -> Option<Result<Vec<SecretText>, Code>> {
    Some(Ok(match question {
        Question::PutIntoCore(credential) => return Some(put(dialect, credential)),
        Question::ReadCore(what) => Vec::from([
            shell(dialect, &what.supi),
            update::<D>(
                &what.supi,
                |q| lower("provisioning.epoch", what.epoch, q),
                |u| {
                    u.object("$max", |fields| fields.number("provisioning.withdrawn", what.epoch));
                },
            ),
            read::<D>(&what.supi),
        ]),
        Question::BarInCore(what) => Vec::from([
            shell(dialect, &what.supi),
            update::<D>(
                &what.supi,
                |q| up_to(what, q),
                |u| {
                    u.object("$max", |fields| fields.number("provisioning.barred", what.epoch));
                    u.object("$set", |fields| fields.text(D::NAME, &barred::<D>(&what.supi)));
                },
            ),
            read::<D>(&what.supi),
        ]),
        Question::AdmitToCore(what) => {
            let lifted = update::<D>(
                &what.supi,
                |q| q.object("provisioning.barred", |q| q.number("$lte", what.epoch)),
                |u| {
                    u.object("$set", |fields| fields.number("provisioning.barred", 0_u64));
                },
            );
            let mut steps = Vec::from([lifted]);
            open::<D>(&what.supi, &mut steps);
            steps.push(read::<D>(&what.supi));
            steps
        }
        Question::RemoveFromCore(what) => Vec::from([
            shell(dialect, &what.supi),
            update::<D>(
                &what.supi,
                |q| up_to(what, q),
                |u| {
                    u.object("$max", |fields| fields.number("provisioning.withdrawn", what.epoch));
                    u.object("$set", |fields| {
                        fields.text(D::NAME, &barred::<D>(&what.supi));
                        fields.number("provisioning.epoch", 0_u64);
                        fields.text("provisioning.device", "");
                    });
                    u.object("$unset", |unset| {
                        D::AUTHENTICATION.iter().chain(D::REST).for_each(|field| unset.text(field, ""))
                    });
                },
            ),
            read::<D>(&what.supi),
        ]),
        Question::Recover(lost) => Vec::from([recover::<D>(lost)]),
        Question::Find(_)
        | Question::Appraise(_)
        | Question::Reserve(_)
        | Question::ComputeOpc { .. }
        | Question::Log(_) => return None,
    }))
}

fn put<D: Dialect>(dialect: &D, credential: &CoreCredential) -> Result<Vec<SecretText>, Code> {
    let CoreCredential { supi, epoch, profile, .. } = credential;
    let mut possible = Ok(());
    let written = update::<D>(
        supi,
        |q| {
            lower("provisioning.epoch", *epoch, q);
            lower("provisioning.withdrawn", *epoch, q);
        },
        |u| {
            u.object("$set", |fields| {
                fields.number("provisioning.epoch", *epoch);
                fields.text("provisioning.device", &format!("{}", credential.device));
                possible = dialect.authentication(credential, fields);
            });
        },
    );
    possible?;
    let mut steps = Vec::from([shell(dialect, supi)]);
    if !D::REST.is_empty() {
        // Before K: what is there has none.
        let filter = |q: &mut Object<'_>| {
            q.number("provisioning.epoch", 0_u64);
            lower("provisioning.withdrawn", *epoch, q);
        };
        steps.push(update::<D>(supi, filter, |u| u.object("$set", |fields| dialect.service(profile.as_ref(), fields))));
    }
    steps.push(written);
    open::<D>(supi, &mut steps);
    steps.push(read::<D>(supi));
    Ok(steps)
}

/// A document that lets nobody in, unless there is one.
fn shell<D: Dialect>(dialect: &D, supi: &Supi) -> SecretText {
    changing::<D>(
        supi,
        true,
        |_| {},
        |u| {
            u.object("$setOnInsert", |fields| {
                fields.text(D::NAME, &barred::<D>(supi));
                fields.object("provisioning", |fields| {
                    fields.text("supi", supi.as_str());
                    fields.text("device", "");
                    for number in ["epoch", "barred", "withdrawn"] {
                        fields.number(number, 0_u64);
                    }
                });
                dialect.defaults(fields);
            });
        },
    )
}

/// Lets it in if it has something that is not barred.
fn open<D: Dialect>(supi: &Supi, steps: &mut Vec<SecretText>) {
    if D::MAKES_STRAYS {
        // The name is taken by a document that the core made for one that was just barred. No key is in it.
        steps.push(document(|command| {
            command.text("delete", D::COLLECTION);
            command.one("deletes", |delete| {
                delete.object("q", |q| {
                    q.text(D::NAME, &D::name(supi));
                    for field in D::AUTHENTICATION.iter().chain(&["provisioning"]) {
                        q.object(field, |q| q.flag("$exists", false));
                    }
                });
                delete.number("limit", 0_u64);
            });
            durable(command);
        }));
    }
    steps.push(update::<D>(
        supi,
        |q| q.object("$expr", |q| q.texts("$gt", ["$provisioning.epoch", "$provisioning.barred"])),
        |u| u.object("$set", |fields| fields.text(D::NAME, &D::name(supi))),
    ));
}

/// The steps of [`Core::serve`](super::Core::serve).
pub(super) fn serve<D: Dialect>(dialect: &D, what: &UpTo) -> Vec<SecretText> {
    let written = update::<D>(
        &what.supi,
        |q| {
            q.object("provisioning.epoch", |q| {
                q.number("$gte", 1_u64);
                q.number("$lte", what.epoch);
            });
        },
        |u| u.object("$set", |fields| dialect.service(None, fields)),
    );
    Vec::from([written, read::<D>(&what.supi)])
}

/// Finds what makes an [`Entry`](super::Entry).
pub(super) fn read<D: Dialect>(supi: &Supi) -> SecretText {
    find::<D>(|q| id(supi, q))
}

fn recover<D: Dialect>(lost: &Lost) -> SecretText {
    find::<D>(|q| {
        q.text("provisioning.device", &format!("{}", lost.device));
        q.number("provisioning.epoch", lost.epoch);
    })
}

fn find<D: Dialect>(filter: impl FnOnce(&mut Object<'_>)) -> SecretText {
    document(|command| {
        command.text("find", D::COLLECTION);
        command.object("filter", filter);
        command.object("projection", |fields| {
            fields.number("provisioning", 1_u64);
            fields.number(D::K, 1_u64);
        });
    })
}

fn update<D: Dialect>(
    supi: &Supi,
    filter: impl FnOnce(&mut Object<'_>),
    change: impl FnOnce(&mut Object<'_>),
) -> SecretText {
    changing::<D>(supi, false, filter, change)
}

fn changing<D: Dialect>(
    supi: &Supi,
    upsert: bool,
    filter: impl FnOnce(&mut Object<'_>),
    change: impl FnOnce(&mut Object<'_>),
) -> SecretText {
    document(|command| {
        command.text("update", D::COLLECTION);
        command.one("updates", |update| {
            update.object("q", |q| {
                id(supi, q);
                filter(q);
            });
            update.object("u", change);
            update.flag("upsert", upsert);
        });
        durable(command);
    })
}

/// The answer to a question says that it is so, also after a power cut there.
fn durable(command: &mut Object<'_>) {
    command.object("writeConcern", |concern| {
        concern.text("w", "majority");
        concern.flag("j", true);
    });
}

/// An ObjectId, as drivers of these cores expect it: the digits of the SUPI, filled up with `f` from the left.
fn id(supi: &Supi, filter: &mut Object<'_>) {
    filter.object("_id", |id| id.text("$oid", &format!("{:f>24}", supi.as_str())));
}

fn barred<D: Dialect>(supi: &Supi) -> String {
    format!("barred-{}", D::name(supi))
}

fn lower(field: &str, epoch: u32, filter: &mut Object<'_>) {
    filter.object(field, |q| q.number("$lt", epoch));
}

fn up_to(what: &UpTo, filter: &mut Object<'_>) {
    filter.object("provisioning.epoch", |q| q.number("$lte", what.epoch));
}
