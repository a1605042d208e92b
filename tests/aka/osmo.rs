//! Milenage against `osmo-auc-gen` of libosmocore, on random inputs: vectors, OPc and resynchronisations.
//!
//! Without the program there is nothing to compare with: the test says so and passes. Where the environment has
//! `REQUIRE_OSMO_AUC_GEN`, as in CI, it fails.

use std::{io, process::Command};

use remote_provisioning::{
    aka::{Answer, Card, Ind, Milenage, Sqn, Subscriber, milenage::opc, sqn::Profile, vector},
    crypto::{Rng, Secret},
    sim::SeededRng,
};

use crate::case::{hex, holding_as, sync_failure};

/// Of three runs each.
const ROUNDS: u64 = 1_000;

#[test]
fn osmo_auc_gen_agrees() {
    match Command::new("osmo-auc-gen").arg("--help").output() {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && std::env::var_os("REQUIRE_OSMO_AUC_GEN").is_none() => {
            eprintln!("skipped: there is no osmo-auc-gen (Debian: libosmocore-utils)");
            return;
        }
        Err(error) => panic!("osmo-auc-gen: {error}"),
    }
    for seed in 0..ROUNDS {
        Subject::new(seed).compare(seed);
    }
}

struct Subject {
    rng: SeededRng,
    k: Secret<16>,
    op: Secret<16>,
    opc: Secret<16>,
}

impl Subject {
    fn new(seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let (mut k, mut op) = (Secret::zeroed(), Secret::zeroed());
        rng.fill(k.bytes_mut()).unwrap();
        rng.fill(op.bytes_mut()).unwrap();
        let opc = opc(&k, &op);
        Self { rng, k, op, opc }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes).unwrap();
        bytes
    }

    /// Three runs of the program, each with inputs of its own: from OP, from OPc, and a resynchronisation.
    fn compare(&mut self, seed: u64) {
        let milenage = Milenage::new(&self.k, &self.opc);
        for option in ["-O", "-o"] {
            let (rand, sqn, management_field) = (self.random(), Sqn::from_bytes(self.random()), self.random());
            let ours = vector(&milenage, &rand, sqn, management_field);
            let value = if option == "-O" { &self.op } else { &self.opc };
            let theirs = self.run(&rand, option, value, &["-s", &decimal(sqn), "-f", &hex(&management_field)]);
            for (name, value) in [
                ("RAND", &rand[..]),
                ("AUTN", &ours.challenge.autn),
                ("RES", ours.keys.res.bytes()),
                ("CK", ours.keys.ck.bytes()),
                ("IK", ours.keys.ik.bytes()),
            ] {
                assert_eq!(theirs.value(name), hex(value), "{name} of seed {seed} by {option}");
            }
        }

        // A USIM somewhere in the number space says where it is; both AuCs go on from there, under any IND.
        let (rand, place) = (self.random(), self.random());
        let ms = Sqn::from_bytes(place);
        let stale = vector(&milenage, &rand, ms, self.random()).challenge;
        let bits = u32::from(rand[1] % 6);
        let profile = Profile::default().with_ind_bits(bits).unwrap();
        let mut array = holding_as(profile, &[ms]);
        let auts = sync_failure(&milenage, &mut array, &stale);

        let ind = Ind::new(rand[0] % (1 << bits)).unwrap();
        let theirs = self.run(
            &rand,
            "-o",
            &self.opc,
            &["-A", &hex(&auts), "-i", &ind.number().to_string(), "-l", &bits.to_string()],
        );
        let mut subscriber = Subscriber::new(milenage, profile);
        subscriber.resynchronise(&rand, &auts, 0).unwrap();
        assert_eq!(subscriber.sqn(), ms, "seed {seed}");
        let next = subscriber.vector(&rand, ind, [0, 0], 0).unwrap();
        assert_eq!(theirs.value("SQN.MS"), decimal(ms), "SQN_MS of seed {seed}");
        assert_eq!(theirs.value("AUTN"), hex(&next.challenge.autn), "AUTN after the resynchronisation of seed {seed}");
        let mut card = Card::adopt(Milenage::new(&self.k, &self.opc), array);
        assert!(matches!(card.authenticate(&next.challenge), Answer::Success(_)), "{seed}");
    }

    fn run(&self, rand: &[u8; 16], option: &str, value: &Secret<16>, more: &[&str]) -> Report {
        let (k, value, rand) = (hex(self.k.bytes()), hex(value.bytes()), hex(rand));
        let mut command = Command::new("osmo-auc-gen");
        command.args(["-3", "-a", "MILENAGE", "-k", &k, option, &value, "-r", &rand]).args(more);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}: {text}");
        Report(text)
    }
}

/// As the program takes and prints it.
fn decimal(sqn: Sqn) -> String {
    u64::from_str_radix(&hex(&sqn.to_bytes()), 16).unwrap().to_string()
}

/// What the program printed: `NAME:` and a value on a line.
struct Report(String);

impl Report {
    fn value(&self, name: &str) -> &str {
        let lines = || self.0.lines().filter_map(|line| line.split_once(':')).filter(|(left, _)| *left == name);
        assert_eq!(lines().count(), 1, "lines with {name} in {}", self.0);
        lines().next().unwrap().1.trim()
    }
}
