//! Who listens on a port: for the message of a start that found it taken.

use std::fs;
use std::path::Path;

/// State `LISTEN` in `/proc/net/tcp` (proc(5)).
const LISTEN: &str = "0A";

/// `nginx (pid 812)`, if this user may see it.
#[must_use]
pub fn of_port(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let path = process.path();
        // `/proc/self` comes first and is not a number.
        let number =
            path.file_name().is_some_and(|n| n.as_encoded_bytes().iter().all(u8::is_ascii_digit));
        if number && holds_any(&path, &inodes) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            let pid = process.file_name();
            return Some(format!("{} (pid {})", name.trim(), pid.to_string_lossy()));
        }
    }
    None
}

/// Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp`.
fn listening(table: &str, port: u16) -> Vec<String> {
    let ending = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| {
        row.get(1).is_some_and(|local| local.ends_with(&ending)) && row.get(3) == Some(&LISTEN)
    })
    .filter_map(|row| row.get(9).map(|inode| format!("socket:[{inode}]")))
    .collect()
}

fn holds_any(process: &Path, inodes: &[String]) -> bool {
    let Ok(fds) = fs::read_dir(process.join("fd")) else { return false };
    fds.flatten().any(|fd| {
        fs::read_link(fd.path())
            .is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_told_from_others_on_the_same_port() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1";
        assert_eq!(listening(table, 8080), ["socket:[4711]"]);
        assert!(listening(table, 443).is_empty());
    }

    #[test]
    fn the_owner_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let owner = of_port(port).expect("this process");
        assert!(owner.ends_with(&format!("(pid {})", std::process::id())), "{owner}");
    }
}
