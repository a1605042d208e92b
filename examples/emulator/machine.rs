//! QEMU, with a firmware in it, a flash that is a file, and two named pipes for a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Bytes of the board's large memory, which stands for the flash.
const FLASH_LEN: u64 = 16 << 20;

/// The part of it that the firmware uses.
const USED: usize = 64 << 10;

/// The longest that any answer takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The pipes, by the names that the firmware opens.
const DOWN: &str = "down";
const UP: &str = "up";

/// The directory of a device, with a flash that is erased.
pub(crate) fn new_flash(directory: &Path) -> io::Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    let mut file = File::create(directory.join("flash"))?;
    file.write_all(&[0xff; USED])?;
    file.set_len(FLASH_LEN)
}

type Frame = (u8, Vec<u8>);

/// A device that is switched on. It is switched off by SIGKILL, whatever it does at that moment.
pub(crate) struct Machine {
    process: Child,
    down: File,
    frames: Receiver<Frame>,
}

impl Machine {
    /// Switches the device of this directory on, with this firmware.
    pub(crate) fn start(firmware: &Path, directory: &Path) -> io::Result<Self> {
        for pipe in [DOWN, UP].map(|name| directory.join(name)) {
            let _ = fs::remove_file(&pipe);
            if !Command::new("mkfifo").arg("-m600").arg(&pipe).status()?.success() {
                return Err(io::Error::other("no named pipe"));
            }
        }
        let process = Command::new("qemu-system-arm")
            .args([
                "-M",
                "mps2-an386,memory-backend=flash",
                "-cpu",
                "cortex-m4",
                "-display",
                "none",
                "-monitor",
                "none",
            ])
            // An instruction takes 2^8 ns, so that the board's timer, of 25 MHz, tells each of them.
            .args(["-icount", "shift=8,sleep=off", "-serial", "none", "-net", "none"])
            .args(["-semihosting-config", "enable=on,target=native"])
            .args(["-object", &format!("memory-backend-file,id=flash,size={FLASH_LEN},mem-path=flash,share=on")])
            .arg("-kernel")
            .arg(firmware)
            .current_dir(directory)
            .stdin(Stdio::null())
            // It warns of a network that the board is without.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::other(format!("qemu-system-arm: {error}")))?;
        // Both ends, so that opening does not wait for the other one.
        let down = OpenOptions::new().read(true).write(true).open(directory.join(DOWN))?;
        Ok(Self { process, down, frames: listen(directory.join(UP)) })
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let len = u16::try_from(content.len()).map_err(io::Error::other)?;
        self.down.write_all(&[&[kind][..], &len.to_le_bytes(), content].concat())
    }

    /// Waits for the next frame.
    pub(crate) fn receive(&mut self) -> io::Result<Frame> {
        self.frames
            .recv_timeout(PATIENCE)
            .map_err(|error| io::Error::other(format!("nothing from the device: {error}")))
    }
}

/// Reads frames from a pipe until it is closed, in a thread of its own: a pipe has no patience.
fn listen(pipe: PathBuf) -> Receiver<Frame> {
    let (sender, frames) = mpsc::channel();
    thread::spawn(move || {
        let read = || -> io::Result<()> {
            let mut up = File::open(&pipe)?;
            loop {
                let mut head = [0; 3];
                up.read_exact(&mut head)?;
                let [kind, low, high] = head;
                let mut content = vec![0; usize::from(u16::from_le_bytes([low, high]))];
                up.read_exact(&mut content)?;
                if sender.send((kind, content)).is_err() {
                    return Ok(());
                }
            }
        };
        // The device was switched off.
        let _ = read();
    });
    frames
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
