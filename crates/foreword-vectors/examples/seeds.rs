//! Writes the bytes of every vector into a directory, a file each, to seed a fuzzer.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let directory = PathBuf::from(env::args_os().nth(1).ok_or(io::ErrorKind::InvalidInput)?);
    fs::create_dir_all(&directory)?;
    for vector in foreword_vectors::vectors() {
        fs::write(directory.join(&vector.id), &vector.input)?;
    }
    Ok(())
}
