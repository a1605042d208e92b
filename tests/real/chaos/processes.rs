//! Servers and devices, as processes.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader},
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use remote_provisioning::sim::SeededRng;

/// An example of this package, as cargo has built it for this test run.
pub(crate) fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // target/debug/deps/chaos-0123456789abcdef
    let path = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(
        path.exists(),
        "there is no {}: run `cargo build --examples` with the options of this test",
        path.display()
    );
    path
}

/// A folder of its own, which goes when the test has passed.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("remote-provisioning-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("left for you to look at: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// A process that does not outlive this one's interest in it.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that always comes back at the same port.
pub(crate) struct Server {
    database: String,
    supis: u32,
    /// Above so many sessions in a second it wants an Echo first.
    pub(crate) calm: u32,
    /// Whether another K gets a SUPI of its own.
    mode: &'static str,
    /// The database of an osmo-hlr that is its core network.
    core: Option<PathBuf>,
    address: SocketAddr,
    log: PathBuf,
    running: Option<Running>,
}

impl Server {
    pub(crate) fn new(folder: &Folder, name: &str, database: &str, supis: u32, mode: &'static str) -> Self {
        Self::with_core(folder, name, database, (supis, mode), None)
    }

    pub(crate) fn with_core(
        folder: &Folder,
        name: &str,
        database: &str,
        (supis, mode): (u32, &'static str),
        core: Option<PathBuf>,
    ) -> Self {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = folder.path().join(format!("server-{name}.log"));
        let mut server =
            Self { database: database.to_owned(), supis, calm: 200, mode, core, address, log, running: None };
        server.start();
        server
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(example("operator_server"));
        command.args(["--listen", &self.address.to_string(), "--database", &self.database, "--devices", "200"]);
        command.args(["--supis", &self.supis.to_string(), "--calm", &self.calm.to_string(), "--mode", self.mode]);
        command.args(["--metrics", "1"]);
        command.args(self.core.iter().flat_map(|file| [OsStr::new("--core"), file.as_os_str()]));
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening"), "the server does not start: see {}", self.log.display());
        self.running = Some(Running(child));
    }

    /// `Child::kill` is SIGKILL.
    pub(crate) fn kill_and_start(&mut self) {
        self.running = None;
        self.start();
    }

    pub(crate) fn kill(mut self) {
        self.running = None;
    }

    /// Asks it to end, and waits until it has (SIGTERM). Its last line says what it did.
    pub(crate) fn stop(&mut self) -> String {
        let mut running = self.running.take().unwrap();
        assert!(Command::new("kill").arg(running.0.id().to_string()).status().unwrap().success());
        assert!(running.0.wait().unwrap().success(), "it ends well");
        fs::read_to_string(&self.log).unwrap().lines().last().unwrap().to_owned()
    }
}

/// A time of up to so many milliseconds.
pub(crate) fn below(milliseconds: usize, dice: &mut SeededRng) -> Duration {
    Duration::from_millis(u64::try_from(dice.below(milliseconds)).unwrap())
}

/// Devices, each with a folder.
pub(crate) struct Fleet<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) devices: u32,
    pub(crate) at_once: u32,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// How often a device is started for one thing. It goes on where it was, so it is done long before that.
const STARTS: u32 = 40;

/// How long one start may take.
const LONGEST: Duration = Duration::from_secs(60);

impl Fleet<'_> {
    pub(crate) fn state(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("device-{number}"))
    }

    /// Runs a command of a device until it is done; four times in ten it is killed in the midst of it. How often it was.
    pub(crate) fn until_done(&self, number: u32, command: &str, dice: &mut SeededRng) -> u32 {
        let (log, mut kills) = (self.folder.path().join(format!("device-{number}.log")), 0);
        for start in 0..STARTS {
            let log = OpenOptions::new().create(true).append(true).open(&log).unwrap();
            let mut child = Running(self.start(number, command, u64::from(start), log));
            let killed = dice.chance(0.4).then(|| below(600, dice));
            let begin = Instant::now();
            loop {
                if let Some(status) = child.0.try_wait().unwrap() {
                    if status.success() {
                        return kills;
                    }
                    break;
                }
                if killed.is_some_and(|after| begin.elapsed() >= after) {
                    kills += 1;
                    break;
                }
                assert!(begin.elapsed() < LONGEST, "device {number} does not end with {command}");
                thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("device {number} is not done with {command} after {STARTS} starts: see {}", log.display());
    }

    /// Runs a command of a device over a link without loss, and gives what it prints.
    pub(crate) fn told(&self, number: u32, command: &str) -> String {
        let output = self.process(number, command).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    fn start(&self, number: u32, command: &str, start: u64, log: File) -> Child {
        let mut process = self.process(number, command);
        let seed = u64::from(number) << 8 | start;
        process.args([
            "--loss",
            "0.2",
            "--seed",
            &seed.to_string(),
            "--pause",
            "40",
            "--hurry",
            "200",
            "--patience",
            "30",
        ]);
        process.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn process(&self, number: u32, command: &str) -> Command {
        let mut process = Command::new(example("device_client"));
        process.arg(command).arg("--state").arg(self.state(number)).args(["--number", &number.to_string()]);
        for address in &self.addresses {
            process.args(["--server", &address.to_string()]);
        }
        process
    }
}
