//! Names of processes: a server's own, and a number where there are several of it.

/// The name of one of `count` processes of a server: `kafka` if it is the only one, else `kafka-1` and so on.
pub(crate) fn process_name(server: &str, number: usize, count: usize) -> String {
    if count == 1 {
        server.to_owned()
    } else {
        format!("{server}-{number}")
    }
}

/// The server that a process of this name belongs to: `kafka` of `kafka-2`.
#[must_use]
pub fn server_of(process: &str) -> &str {
    match process.rsplit_once('-') {
        Some((server, number)) if number.parse::<u32>().is_ok() => server,
        _ => process,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_numbered_where_there_are_several() {
        assert_eq!(process_name("kafka", 1, 1), "kafka");
        assert_eq!(process_name("kafka", 3, 3), "kafka-3");
        assert_eq!(server_of("kafka-3"), "kafka");
        assert_eq!(server_of("kafka"), "kafka");
        assert_eq!(server_of("a-b"), "a-b");
    }
}
