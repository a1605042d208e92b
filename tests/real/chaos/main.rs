//! Processes of the networked examples, killed with SIGKILL at any moment, over a network that loses every fifth datagram:
//! what is durable on both sides agrees in the end.
//!
//! ```text
//! 200 × device_client ──20 % loss──▶ 2 × operator_server ──▶ PostgreSQL, of this test
//!      ✗ kill -9, again                   ✗ kill -9, again      ✗ crashes, recovers
//! ```
//!
//! Cargo builds examples before it runs a package's tests; with `--test chaos` alone it does not: `cargo build --examples` first.
//! Without PostgreSQL (Debian: postgresql) the test that needs it says so and passes; where the environment has
//! `REQUIRE_POSTGRES`, as in CI, it fails. What is killed when follows from a seed; what the scheduler does then does not.
#![cfg(unix)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::std_instead_of_alloc,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "a test that panics has found something"
)]

mod audit;
#[path = "../../../examples/device_client/file_store.rs"]
mod file_store;
mod postgres;
mod processes;
mod stranger;

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use remote_provisioning::{
    sim::{SeededRng, kit::check_store},
    store::{Slot, SubscriptionStore},
};

use audit::Tables;
use file_store::FileStore;
use postgres::Postgres;
use processes::{Fleet, Folder, Server, below};

const SEED: u64 = 20_260_101;

#[test]
fn two_servers_share_a_postgresql() {
    let Some(binaries) = postgres::binaries() else { return };
    let folder = Folder::new("postgres");
    let mut database = Postgres::start(&binaries, &folder);
    let servers = [
        Server::new(&folder, "a", &database.url(), 250, "shared"),
        Server::new(&folder, "b", &database.url(), 250, "shared"),
    ];
    let fleet =
        Fleet { folder: &folder, devices: 200, at_once: 24, addresses: servers.iter().map(Server::address).collect() };
    let (server_kills, device_kills) = run(&fleet, servers, 500, || database.crash_and_start());
    let tables = database.tables();
    audit::agree(&fleet, &tables, 250);
    eprintln!("servers killed {server_kills} times, devices {device_kills} times; {}", tables.told());
    assert!(server_kills >= 5 && device_kills >= 50, "{server_kills} servers, {device_kills} devices: hardly chaos");
}

#[test]
fn a_server_over_a_file() {
    let folder = Folder::new("file");
    let path = folder.path().join("operator.redb");
    let servers = [Server::new(&folder, "only", path.to_str().unwrap(), 80, "beside")];
    let fleet =
        Fleet { folder: &folder, devices: 30, at_once: 8, addresses: servers.iter().map(Server::address).collect() };
    let (server_kills, device_kills) = run(&fleet, servers, 400, || {});
    let tables = Tables::of_file(&path);
    audit::agree(&fleet, &tables, 80);
    eprintln!("servers killed {server_kills} times, devices {device_kills} times; {}", tables.told());
    assert!(server_kills >= 3 && device_kills >= 5, "{server_kills} servers, {device_kills} devices: hardly chaos");
}

/// A core whose SQN was set back makes challenges that the USIM has seen; AUTS says where it is. And a server ends when it is
/// asked to, having had every device show that it receives.
#[test]
fn a_restored_core_is_resynchronised() {
    let folder = Folder::new("restored");
    let (path, backup) = (folder.path().join("operator.redb"), folder.path().join("backup.redb"));
    let mut server = Server::new(&folder, "only", path.to_str().unwrap(), 40, "shared");
    server.calm = 0;
    server.kill_and_start();
    let fleet = Fleet { folder: &folder, devices: 1, at_once: 1, addresses: vec![server.address()] };
    fleet.told(1, "provision");
    let told = server.stop();
    assert!(told.contains("event=stopped unfinished=false") && told.contains(" echoes=1 activated=1 "), "{told}");
    std::fs::copy(&path, &backup).unwrap();

    server.start();
    for _ in 0..3 {
        let told = fleet.told(1, "attach");
        assert!(told.contains("attached with") && !told.contains("resynchronisation"), "{told}");
    }
    server.stop();
    std::fs::copy(&backup, &path).unwrap();
    server.start();
    let told = fleet.told(1, "attach");
    assert!(told.contains("AUTS") && told.contains("after a resynchronisation"), "{told}");
    let told = fleet.told(1, "attach");
    assert!(!told.contains("resynchronisation"), "{told}");
}

#[test]
fn the_directory_of_a_device_is_a_store() {
    let folder = Folder::new("store");
    let open = |name: &str, number| FileStore::open(&folder.path().join(name), number);
    let (mut store, number) = open("device", Some(7)).unwrap();
    check_store(&mut store).unwrap();
    let content = |store: &FileStore| store.slot(Slot::B).unwrap().map(|slot| slot.bytes().to_vec());
    let (record, slot) = (store.record().unwrap(), content(&store));
    assert!(open("device", Some(7)).is_err(), "one process at a time");
    drop(store);
    let (store, again) = open("device", None).unwrap();
    assert_eq!((store.record().unwrap(), content(&store), again), (record, slot, number));
    drop(store);
    assert!(open("device", Some(8)).is_err(), "another device's");

    // A file that cannot be read is not a factory-new device.
    std::fs::write(folder.path().join("device/state"), b"\xa1").unwrap();
    assert!(open("device", None).is_err());
}

/// Every device gets a subscription and attaches, a third of them get another K in between, while somebody kills them, and the
/// servers, and now and then the database. How often that was: servers, devices.
fn run<const N: usize>(
    fleet: &Fleet<'_>,
    mut servers: [Server; N],
    pause: u64,
    mut crash_database: impl FnMut() + Send,
) -> (u32, u32) {
    let (next, device_kills, over) = (AtomicU32::new(1), AtomicU32::new(0), AtomicBool::new(false));
    let server_kills = thread::scope(|scope| {
        let workers: Vec<_> = (0..fleet.at_once)
            .map(|worker| {
                let (next, device_kills) = (&next, &device_kills);
                scope.spawn(move || {
                    let mut dice = SeededRng::new(SEED + u64::from(worker) + 1);
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number > fleet.devices {
                            return;
                        }
                        let mut go = |command: &str| {
                            device_kills.fetch_add(fleet.until_done(number, command, &mut dice), Relaxed);
                        };
                        go("provision");
                        if number % 3 == 0 {
                            go("rekey");
                        }
                        go("attach");
                    }
                })
            })
            .collect();
        let (servers, over) = (&mut servers, &over);
        let killer = scope.spawn(move || {
            let (mut dice, mut kills) = (SeededRng::new(SEED), 0);
            while !over.load(Relaxed) {
                thread::sleep(Duration::from_millis(pause) + below(900, &mut dice));
                if kills % 6 == 5 {
                    crash_database();
                }
                servers[dice.below(N)].kill_and_start();
                kills += 1;
            }
            kills
        });
        let ended: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Relaxed);
        let kills = killer.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
        kills
    });
    // The last one is a kill too: what is on the disk has to do.
    servers.into_iter().for_each(Server::kill);
    (server_kills, device_kills.into_inner())
}
