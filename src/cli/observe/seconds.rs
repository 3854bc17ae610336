//! Times as arguments.

use std::time::Duration;

/// A number of seconds, or a number with `s`, `m` or `h`.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3_600)];
    let in_unit = |(unit, factor)| Some((text.strip_suffix(unit)?, factor));
    let (number, factor) = units.into_iter().find_map(in_unit).unwrap_or((text, 1));
    let number: u32 = number
        .parse()
        .map_err(|_| "expected seconds, such as 600, or 10m or 1h".to_owned())?;
    if number == 0 {
        return Err("it has to be longer than 0".to_owned());
    }
    Ok(Duration::from_secs(u64::from(number) * factor))
}
