//! QEMU, with a firmware in it, a flash that is a file, and the other end of its serial port.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Bytes of the board's large memory, which stands for the flash.
const FLASH_LEN: u64 = 16 << 20;

/// The part of it that the firmware uses.
const USED: usize = 64 << 10;

/// The longest that any answer takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A flash, erased.
pub(crate) fn new_flash(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&[0xff; USED])?;
    file.set_len(FLASH_LEN)
}

/// A device that is switched on. It is switched off by SIGKILL, whatever it does at that moment.
pub(crate) struct Machine {
    process: Child,
    line: UnixStream,
    socket: PathBuf,
}

impl Machine {
    /// Switches a device on that has this firmware and this flash.
    pub(crate) fn start(firmware: &Path, flash: &Path) -> io::Result<Self> {
        let socket = flash.with_extension("line");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let process = Command::new("qemu-system-arm")
            .args(["-M", "mps2-an386,memory-backend=flash", "-cpu", "cortex-m4", "-display", "none", "-monitor", "none"])
            // An instruction takes 2^8 ns, so that the board's timer, of 25 MHz, tells each of them.
            .args(["-icount", "shift=8,sleep=off", "-nodefaults", "-serial", "chardev:line"])
            .args(["-object", &format!("memory-backend-file,id=flash,size={FLASH_LEN},mem-path={},share=on", flash.display())])
            .args(["-chardev", &format!("socket,id=line,path={}", socket.display())])
            .arg("-kernel")
            .arg(firmware)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::other(format!("qemu-system-arm: {error}")))?;
        let (line, _) = listener.accept()?;
        line.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { process, line, socket })
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let len = u16::try_from(content.len()).map_err(io::Error::other)?;
        self.line.write_all(&[&[kind][..], &len.to_le_bytes(), content].concat())
    }

    /// Waits for the next frame.
    pub(crate) fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 3];
        self.line.read_exact(&mut head)?;
        let [kind, low, high] = head;
        let mut content = vec![0; usize::from(u16::from_le_bytes([low, high]))];
        self.line.read_exact(&mut content)?;
        Ok((kind, content))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.socket);
    }
}
