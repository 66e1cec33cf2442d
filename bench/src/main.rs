//! Has every crate parse every group of headers, and prints a JSON line for each pair: how long it took, how often it
//! allocated, and the same of foreword for the same headers.
//!
//! Under callgrind the times mean nothing; there `--rounds` keeps it short, and each call of `measured` is a part of
//! the profile: first foreword, then the other crate, in the order of the lines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use foreword_bench::groups::groups;
use foreword_bench::subjects::{SUBJECTS, Seen, Subject, measured};

fn main() {
    let rounds = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => None,
        [flag, rounds] if flag == "--rounds" => rounds.parse().ok(),
        _ => {
            eprintln!("parse: expected nothing or `--rounds NUMBER`");
            std::process::exit(2);
        }
    };
    // Some of the others panic at headers that they do not take.
    std::panic::set_hook(Box::new(|_| {}));
    let [(_, ours), others @ ..] = SUBJECTS;
    for group in groups() {
        for (name, subject) in others {
            let taken: Vec<&[u8]> =
                group.inputs.iter().copied().filter(|input| agree(ours, subject, input)).collect();
            let pair = [ours, subject].map(|subject| cost(subject, &taken, rounds));
            let [mine, theirs] = pair.map(|cost| {
                format!(
                    "{{\"nanoseconds\": {:.3}, \"allocations\": {:.3}}}",
                    cost.nanoseconds, cost.allocations
                )
            });
            println!(
                "{{\"group\": \"{}\", \"crate\": \"{name}\", \"headers\": {}, \"refused\": {}, \
                 \"foreword\": {mine}, \"other\": {theirs}}}",
                group.name,
                taken.len(),
                group.inputs.len() - taken.len(),
            );
        }
    }
}

/// Whether both take a header, and say the same of it. Others are no work that could be compared.
fn agree(ours: Subject, theirs: Subject, input: &[u8]) -> bool {
    let seen = catch_unwind(AssertUnwindSafe(|| theirs(input))).ok().flatten();
    let same = |a: Seen, b: Seen| (a.source, a.destination, a.len) == (b.source, b.destination, b.len);
    ours(input).zip(seen).is_some_and(|(ours, theirs)| same(ours, theirs))
}

struct Cost {
    nanoseconds: f64,
    allocations: f64,
}

/// What one header costs, on average.
fn cost(subject: Subject, inputs: &[&[u8]], rounds: Option<u32>) -> Cost {
    if inputs.is_empty() {
        return Cost { nanoseconds: 0.0, allocations: 0.0 };
    }
    let count = inputs.len() as f64;
    if let Some(rounds) = rounds {
        measured(subject, inputs, rounds);
        return Cost { nanoseconds: 0.0, allocations: 0.0 };
    }
    let mut least = f64::INFINITY;
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        measured(subject, inputs, ROUNDS);
        least = least.min(begun.elapsed().as_nanos() as f64 / f64::from(ROUNDS) / count);
    }
    let allocated = allocation_counter::measure(|| measured(subject, inputs, 1));
    Cost { nanoseconds: least, allocations: allocated.count_total as f64 / count }
}

/// Neighbours only ever make work dearer: the least of many short samples is the least disturbed.
const SAMPLES: u32 = 200;
const ROUNDS: u32 = 200;
