//! What is durable at the operator and on the devices, held against each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use remote_provisioning::{
    credential::{self, SoftUsim},
    crypto::{Hash, Secret, SecretBytes, rustcrypto::RustCrypto},
    provisioning::{Account, device, log::LogEntry},
    store::{Commit, Slot, SlotChange, SubscriptionStore, memory::MemoryStore},
};
use serde::Deserialize;

use crate::processes::Fleet;

type Table = BTreeMap<String, Vec<u8>>;

/// The operator's tables.
#[derive(Default)]
pub(crate) struct Tables {
    accounts: Table,
    core: Table,
    free: Table,
    log: Table,
    reserved: Table,
}

impl Tables {
    pub(crate) fn by_name(&mut self) -> [(&'static str, &mut Table); 5] {
        [
            ("accounts", &mut self.accounts),
            ("core", &mut self.core),
            ("free", &mut self.free),
            ("log", &mut self.log),
            ("reserved", &mut self.reserved),
        ]
    }

    pub(crate) fn of_file(path: &Path) -> Self {
        let database = redb::Database::open(path).unwrap();
        let reading = database.begin_read().unwrap();
        let mut tables = Self::default();
        for (name, table) in tables.by_name() {
            let definition = TableDefinition::<&str, (i64, &[u8])>::new(name);
            for row in reading.open_table(definition).unwrap().iter().unwrap() {
                let (key, row) = row.unwrap();
                table.insert(key.value().to_owned(), row.value().1.to_vec());
            }
        }
        tables
    }

    pub(crate) fn told(&self) -> String {
        format!(
            "{} accounts, {} entries in the log, {} SUPIs free",
            self.accounts.len(),
            self.log.len(),
            self.free.len()
        )
    }

    /// The account that the log adds up to.
    fn replayed(&self, device: &str) -> Account {
        let entries = self.log.iter().filter(|(key, _)| key.starts_with(&format!("{device} ")));
        let entries: Vec<_> = entries.map(|(_, entry)| LogEntry::from_cbor(entry).unwrap()).collect();
        let mut account = Account::default();
        account.replay(&entries, &RustCrypto).unwrap();
        account
    }
}

/// What this looks at of a row of the core.
#[derive(Deserialize)]
struct Subscriber {
    held: Option<Held>,
}

#[derive(Deserialize)]
struct Held {
    device: String,
    epoch: u32,
    #[serde(with = "serde_bytes")]
    fingerprint: Hash,
    attached: u64,
}

/// A device's file.
#[derive(Deserialize)]
struct State {
    record: Option<serde_bytes::ByteBuf>,
    a: Option<serde_bytes::ByteBuf>,
    b: Option<serde_bytes::ByteBuf>,
}

/// What a device has: its subscription, and K.
struct Device {
    subscription: device::Subscription,
    k: [u8; 16],
}

fn device(state: &Path) -> Device {
    let State { record, a, b } = ciborium::from_reader(&*fs::read(state.join("state")).unwrap()).unwrap();
    let slots: Vec<_> = [(Slot::A, a), (Slot::B, b)]
        .into_iter()
        .filter_map(|(slot, content)| Some((slot, SecretBytes::new(content?.into_vec()))))
        .collect();
    assert_eq!(slots.len(), 1, "{}: one subscription", state.display());
    let changes: Vec<_> = slots.iter().map(|(slot, content)| SlotChange::Write(*slot, content)).collect();
    let mut store = MemoryStore::new();
    store.commit(Commit { slots: &changes, record: &record.unwrap() }).unwrap();
    let (subscription, complete) = device::subscription(&store).unwrap().unwrap();
    assert!(complete, "{}: the operator knows", state.display());
    assert_eq!(device::in_use(&store).unwrap(), Some(subscription), "{}", state.display());

    let (_, content) = &slots[0];
    let card = SoftUsim::card(content).unwrap();
    assert_eq!((card.supi, card.epoch), (subscription.id.supi, subscription.id.epoch), "{}", state.display());
    // What `SoftUsim` keeps is a map; K is under 4.
    let content: BTreeMap<u64, ciborium::Value> = ciborium::from_reader(content.bytes()).unwrap();
    let k = content[&4].as_bytes().unwrap().as_slice().try_into().unwrap();
    Device { subscription, k }
}

/// Each device has one subscription, and so have its account, its log and the core; no SUPI went to two; all have attached.
pub(crate) fn agree(fleet: &Fleet<'_>, tables: &Tables, supis: usize) {
    let core: BTreeMap<_, _> = tables
        .core
        .iter()
        .filter_map(|(supi, row)| {
            let Subscriber { held } = ciborium::from_reader(&**row).unwrap();
            Some((supi.as_str(), held?))
        })
        .collect();
    let (mut used, mut secrets) = (BTreeSet::new(), Vec::new());
    for number in 1..=fleet.devices {
        let Device { subscription, k } = device(&fleet.state(number));
        let (supi, epoch) = (subscription.id.supi, subscription.id.epoch);
        assert!(used.insert(supi), "device {number}: {supi} is another one's");
        assert!(epoch > 1 || number % 3 != 0, "device {number} has a new K");
        let fingerprint = credential::fingerprint(&Secret::from_slice(&k).unwrap(), &RustCrypto);
        let held = core.get(supi.as_str()).unwrap_or_else(|| panic!("device {number}: the core has no {supi}"));
        assert_eq!((held.epoch, held.fingerprint), (epoch, fingerprint), "device {number}: another K in the core");
        assert!(held.attached > 0, "device {number} has attached");
        assert!(!tables.free.contains_key(supi.as_str()), "device {number}: {supi} is free");

        let account: Account = ciborium::from_reader(&*tables.accounts[&held.device]).unwrap();
        let active = account.active().unwrap_or_else(|| panic!("device {number}: its account has nothing"));
        assert_eq!((&*active.supi, active.epoch), (supi.as_str(), epoch), "device {number}: its account");
        assert_eq!(active.fingerprint, fingerprint, "device {number}: its account");
        assert_eq!((account.open(), account.leftovers()), (None, &[][..]), "device {number}: something is open");
        assert_eq!(account.watch().quarantined(), None, "device {number}");
        let replayed = tables.replayed(&held.device);
        assert_eq!(replayed.revision(), account.revision(), "device {number}: its log");
        assert_eq!(replayed.active(), Some(active), "device {number}: its log");
        secrets.push(k);
    }
    assert_eq!(core.len(), used.len(), "the core has subscriptions that no device has");
    reserved_once(tables, supis);
    silent(fleet, tables, &secrets);
}

/// Every SUPI is free, or one device's.
fn reserved_once(tables: &Tables, supis: usize) {
    let mut of: BTreeMap<&[u8], &str> = BTreeMap::new();
    for (key, supi) in &tables.reserved {
        let device = key.split(' ').next().unwrap();
        assert_eq!(*of.entry(supi).or_insert(device), device, "one SUPI for two");
    }
    assert_eq!(of.len() + tables.free.len(), supis, "SUPIs got lost, or came back");
}

/// No K in anybody's log, and none in clear in the database.
fn silent(fleet: &Fleet<'_>, tables: &Tables, secrets: &[[u8; 16]]) {
    let known: BTreeSet<&[u8]> = secrets.iter().map(|k| &k[..]).collect();
    for table in [&tables.accounts, &tables.core, &tables.log] {
        assert!(!table.values().any(|row| row.windows(16).any(|bytes| known.contains(bytes))), "K in the database");
    }
    let files = fs::read_dir(fleet.folder.path()).unwrap().map(|file| file.unwrap().path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        for k in secrets {
            let hex: String = k.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(&hex) && !text.contains(&format!("{k:?}")), "K in {}", path.display());
        }
    }
}
