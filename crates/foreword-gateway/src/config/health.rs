//! `[cluster.NAME.ejection]`.

use super::document::Table;
use super::keys::EJECTION;
use crate::plan::Ejection;

/// Reads `[cluster.NAME.ejection]`.
pub(crate) fn ejection(cluster: &Table<'_, '_>) -> Option<Ejection> {
    let table = cluster.table("ejection", &EJECTION)?;
    let default = Ejection::default();
    let number = |name| table.number(name).and_then(|at| u32::try_from(at.value).ok());
    let duration = |name| table.read(name, |value| value.duration());
    let (time, max_time) = (duration("time"), duration("max_time"));
    if let (Some(time), Some(most)) = (&time, &max_time)
        && time.value > most.value
    {
        table
            .notes()
            .problem(most.place.expected("`max_time` to be no shorter than `time`", "a shorter one"));
    }
    let time = time.map_or(default.time, |at| at.value);
    Some(Ejection {
        failures: number("failures").unwrap_or(default.failures),
        server_errors: table.read("server_errors", |value| value.boolean()).is_some_and(|at| at.value),
        time,
        max_time: max_time.map_or(default.max_time.max(time), |at| at.value),
        max_share: number("max_share")
            .and_then(|share| u8::try_from(share).ok())
            .unwrap_or(default.max_share),
    })
}
