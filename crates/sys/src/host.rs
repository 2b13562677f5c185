//! What names this machine, and its current boot.

/// Returns the name of this host; `unknown` if it has none.
pub fn name() -> String {
    let name = nix::sys::utsname::uname()
        .ok()
        .and_then(|found| found.nodename().to_str().map(str::to_owned));
    name.map(|name| name.replace([' ', '\n'], "_"))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the identifier that the kernel has chosen at its boot; an empty string if it cannot be read. The
/// containers of a machine have the same.
pub fn boot() -> String {
    let found = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    found.map(|id| id.trim().to_owned()).unwrap_or_default()
}
