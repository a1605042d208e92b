//! Writes the seeds of `corpus/` again: `cargo run --example seeds` in this folder, after a message has changed its form.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    for (door, name, bytes) in remote_provisioning_fuzz::seeds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(door);
        fs::create_dir_all(&corpus)?;
        fs::write(corpus.join(name), bytes)?;
    }
    Ok(())
}
