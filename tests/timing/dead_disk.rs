//! A file system that does not answer, like a network file system whose server is gone.

use crate::common::mounts::Mounted;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// A FUSE file system whose daemon answers the first request, then reads requests without answering.
pub(crate) struct DeadDisk {
    _mounted: Mounted,
    state: Arc<State>,
    daemon: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    was_asked: AtomicBool,
    ended: AtomicBool,
}

impl DeadDisk {
    /// Mounts such a file system. Returns `None` if this machine cannot do that.
    pub(crate) fn mount(place: &Path) -> Option<Self> {
        const O_NONBLOCK: i32 = 0o4000;
        let device = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open("/dev/fuse")
            .ok()?;
        let done = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", "fd=0,rootmode=40000,user_id=0,group_id=0", "dead"])
            .arg(place)
            .stdin(device.try_clone().unwrap())
            .status();
        if !done.is_ok_and(|status| status.success()) {
            return None;
        }
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let daemon = Some(std::thread::spawn(move || be_silent(device, &shared)));
        Some(Self { _mounted: Mounted(place.to_owned()), state, daemon })
    }

    /// Whether a process is waiting for an answer.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.state.was_asked.load(Relaxed)
    }
}

impl Drop for DeadDisk {
    fn drop(&mut self) {
        // Before the unmount, which would wait for an answer, too.
        self.state.ended.store(true, Relaxed);
        let daemon = self.daemon.take().unwrap();
        assert!(daemon.join().is_ok() || std::thread::panicking());
    }
}

/// Answers the first request (FUSE_INIT), and no other request.
fn be_silent(mut device: fs::File, state: &State) {
    const INIT: u32 = 26;
    const ANSWER: [u32; 6] = [7, 31, 0, 0, 0, 4096]; // version, no flags, size of a write
    let mut request = [0; 64 * 1024];
    while !state.ended.load(Relaxed) {
        let Ok(40..) = device.read(&mut request) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        if u32::from_ne_bytes(request[4..8].try_into().unwrap()) != INIT {
            state.was_asked.store(true, Relaxed);
            continue;
        }
        let mut answer = [80_u32.to_ne_bytes(), [0; 4]].concat();
        answer.extend_from_slice(&request[8..16]); // which request
        ANSWER.iter().for_each(|number| answer.extend_from_slice(&number.to_ne_bytes()));
        answer.resize(80, 0);
        device.write_all(&answer).unwrap();
    }
}
