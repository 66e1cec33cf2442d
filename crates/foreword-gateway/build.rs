//! Tells the crate what it was built with, for `foreword_build_info`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FOREWORD_REVISION");
    println!("cargo::rustc-env=FOREWORD_RUSTC={}", compiler().unwrap_or_else(|| "unknown".into()));
    // Packages know their revision; a build from a working tree may hold what no revision does.
    let revision = env::var("FOREWORD_REVISION").unwrap_or_else(|_| "unknown".into());
    println!("cargo::rustc-env=FOREWORD_REVISION={revision}");
}

/// `1.95.0` out of `rustc 1.95.0 (59807616e 2026-04-14)`.
fn compiler() -> Option<String> {
    let answer = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}
