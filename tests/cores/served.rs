//! The example server and the example device, as processes, and a running osmo-hlr for their core.

use remote_provisioning::{
    aka::Answer as Aka,
    credential::SoftUsim,
    identity::Supi,
    provisioning::device::{authenticate, in_use},
    sim::SeededRng,
};

use crate::{
    file_store::FileStore,
    gsup::Sgsn,
    hlr::{Hlr, available},
    processes::{Fleet, Folder, Server},
};

const DEVICES: u32 = 4;

/// What the device in this folder answers to osmo-hlr is what that waits for.
fn attach(fleet: &Fleet<'_>, number: u32, sgsn: &mut Sgsn) -> (Supi, u32) {
    let (mut store, _) = FileStore::open(&fleet.state(number), None).unwrap();
    let held = in_use(&store).unwrap().unwrap();
    let vector = sgsn.vectors(held.id.supi.as_str(), 1, None).unwrap().pop().unwrap();
    let answer = authenticate(&vector.challenge, &mut store, &mut SoftUsim).unwrap();
    let Aka::Success(keys) = answer else { panic!("{answer:?}") };
    assert_eq!(keys.res.bytes(), vector.res, "RES is XRES");
    sgsn.update_location(held.id.supi.as_str()).unwrap();
    (held.id.supi, held.id.epoch)
}

/// Devices over a link that loses one datagram in five; devices and the server are killed in between.
#[test]
fn what_the_server_issues_osmo_hlr_accepts() {
    if !available() {
        return;
    }
    let hlr = Hlr::start();
    let mut sgsn = Sgsn::connect(&hlr.address, "sgsn-1");
    let folder = Folder::new("served");
    let database = folder.path().join("operator.redb");
    let core = Some(hlr.database.file());
    let mut server = Server::with_core(&folder, "1", database.to_str().unwrap(), (DEVICES, "shared"), core);
    let fleet = Fleet { folder: &folder, devices: DEVICES, at_once: 1, addresses: vec![server.address()] };
    let mut dice = SeededRng::new(7);
    for number in 1..=DEVICES {
        fleet.until_done(number, "provision", &mut dice);
        let first = attach(&fleet, number, &mut sgsn);
        server.kill_and_start();
        fleet.until_done(number, "rekey", &mut dice);
        let second = attach(&fleet, number, &mut sgsn);
        assert_eq!((first.0, true), (second.0, second.1 > first.1), "the same SUPI, and another K");
        assert_eq!(
            hlr.database.count("auc_3g JOIN subscriber ON subscriber_id = id WHERE imsi = ?1", first.0.as_str()),
            1
        );
    }
    assert!(server.stop().contains("stopped"));
}
