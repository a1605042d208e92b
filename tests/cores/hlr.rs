//! A real osmo-hlr, or only its database.

use core::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use std::{
    fs,
    io::ErrorKind,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
};

use remote_provisioning::{
    cores::{
        Core, Entry, answer,
        osmo_hlr::{OsmoHlr, Statement, TABLE},
    },
    credential::ServiceProfile,
    crypto::rustcrypto::RustCrypto,
    error::Code,
    identity::Supi,
    provisioning::{Answer, Question},
};
use rusqlite::Connection;

use crate::sqlite;

/// What the subscribers of these tests may use.
pub(crate) fn adapter(profile: &ServiceProfile) -> OsmoHlr<'_> {
    OsmoHlr { cs: false, ps: true, profile }
}

/// Whether there is an osmo-hlr to compare with.
pub(crate) fn available() -> bool {
    match Command::new("osmo-hlr-db-tool").arg("--version").output() {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("REQUIRE_OSMO_HLR").is_none() => {
            eprintln!("skipped: there is no osmo-hlr (Debian: osmo-hlr)");
            false
        }
        Err(error) => panic!("osmo-hlr-db-tool: {error}"),
    }
}

/// A folder of its own for each test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> (Self, u32) {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hlr-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        (Self(path), number)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It only wastes space if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// osmo-hlr's database, made by osmo-hlr's own tool.
pub(crate) struct Database {
    pub(crate) connection: Connection,
    folder: Folder,
    number: u32,
}

impl Database {
    pub(crate) fn new() -> Self {
        let (folder, number) = Folder::new();
        let file = folder.0.join("hlr.db");
        let made = Command::new("osmo-hlr-db-tool").arg("-l").arg(&file).arg("create").output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let connection = Connection::open(file).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        connection.execute(TABLE, []).unwrap();
        Self { connection, folder, number }
    }

    /// Runs statements in their order; what the reading one read.
    pub(crate) fn run(&self, steps: &[Statement]) -> rusqlite::Result<Vec<Entry>> {
        sqlite::run(&self.connection, steps)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.0.join("hlr.db")
    }

    /// Answers a question about the core.
    pub(crate) fn answer(&self, question: &Question, profile: &ServiceProfile) -> Option<Answer> {
        let entries = adapter(profile).steps(question)?.and_then(|steps| self.run(&steps).map_err(|_| Code::TryLater));
        answer(question, entries.as_deref().map_err(|code| *code), &RustCrypto)
    }

    pub(crate) fn core_epoch(&self, supi: &Supi) -> u32 {
        let entries = self.run(&adapter(&ServiceProfile::default()).look(supi)).unwrap();
        entries.first().map_or(0, Entry::core_epoch)
    }

    /// Whether osmo-hlr finds a key under this IMSI and lets it use anything.
    pub(crate) fn lets_in(&self, imsi: &str) -> bool {
        self.count("subscriber JOIN auc_3g ON subscriber_id = id WHERE nam_cs + nam_ps > 0 AND imsi = ?1", imsi) > 0
    }

    pub(crate) fn count(&self, rows: &str, imsi: &str) -> u32 {
        self.connection.query_one(&format!("SELECT count(*) FROM {rows}"), [imsi], |row| row.get(0)).unwrap()
    }

    pub(crate) fn sqn(&self, imsi: &str) -> i64 {
        let sql = "SELECT sqn FROM auc_3g JOIN subscriber ON subscriber_id = id WHERE imsi = ?1";
        self.connection.query_one(sql, [imsi], |row| row.get(0)).unwrap()
    }

    /// As if osmo-hlr had written it.
    pub(crate) fn set_sqn(&self, imsi: &str, sqn: i64) {
        let sql = "UPDATE auc_3g SET sqn = ?2 WHERE subscriber_id = (SELECT id FROM subscriber WHERE imsi = ?1)";
        assert_eq!(self.connection.execute(sql, (imsi, sqn)).unwrap(), 1);
    }
}

/// osmo-hlr at work, on a loopback address that no other process of these tests has: its GSUP port is fixed.
pub(crate) struct Hlr {
    pub(crate) database: Database,
    pub(crate) address: String,
    process: Child,
}

impl Hlr {
    pub(crate) fn start() -> Self {
        let database = Database::new();
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.{}.{high}.{low}", 128 + database.number);
        let folder = &database.folder.0;
        let configuration = format!(
            "log stderr\n logging filter all 1\n logging level set-all error\n\
             line vty\n bind {address}\nctrl\n bind {address}\nhlr\n gsup\n  bind ip {address}\n"
        );
        fs::write(folder.join("hlr.cfg"), configuration).unwrap();
        // It ends when its standard input does, however this process ends.
        let script = "osmo-hlr -c hlr.cfg -l hlr.db 2>hlr.log & read end; kill $!; wait $!";
        let mut process = Command::new("sh");
        process.args(["-c", script]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let hlr = Self { process: process.spawn().unwrap(), address, database };
        for _ in 0..200 {
            if TcpStream::connect((hlr.address.as_str(), 4222)).is_ok() {
                return hlr;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("osmo-hlr does not answer: {}", hlr.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.database.folder.0.join("hlr.log")).unwrap_or_default()
    }
}

impl Drop for Hlr {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // A panic here would hide the one that led to it.
        let _ = self.process.wait();
    }
}
