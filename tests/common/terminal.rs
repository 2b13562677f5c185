//! A pseudo-terminal, and the text that it shows.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A pseudo-terminal, with a thread that reads everything that processes write to it.
pub(crate) struct Terminal {
    keyboard: File,
    slave: Option<OwnedFd>,
    written: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Terminal {
    pub(crate) fn new(width: u16) -> Self {
        Self::with_rows(24, width)
    }

    pub(crate) fn with_rows(rows: u16, width: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        for end in [&pty.master, &pty.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let mut master = File::from(pty.master);
        let keyboard = master.try_clone().unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&written);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // When the last process has closed the terminal, the read fails.
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { keyboard, slave: Some(pty.slave), written, reader }
    }

    /// Returns a standard stream for a process.
    pub(crate) fn stream(&self) -> Stdio {
        self.slave.as_ref().unwrap().try_clone().unwrap().into()
    }

    /// Types `keys` on the keyboard.
    pub(crate) fn type_in(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Returns everything that was written so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until every process has closed the terminal. Returns everything that was written.
    pub(crate) fn close(mut self) -> Seen {
        self.slave = None;
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let bytes = self.written.lock().unwrap().clone();
        Seen::new(&bytes)
    }
}

/// What a terminal has shown.
pub(crate) struct Seen {
    /// Everything that was written.
    pub(crate) bytes: Vec<u8>,
    /// The rows of the screen at the end, without trailing spaces and without empty rows at the bottom.
    pub(crate) screen: Vec<String>,
    /// Each text that a row contained before it was erased or the cursor left it, in order.
    pub(crate) states: Vec<String>,
}

impl Seen {
    fn new(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut rows: Vec<Vec<char>> = vec![Vec::new()];
        let (mut row, mut column) = (0, 0);
        let mut states = Vec::new();
        let mut chars = text.chars();
        let line = |row: &[char]| row.iter().collect::<String>().trim_end().to_owned();
        while let Some(c) = chars.next() {
            match c {
                '\r' => column = 0,
                '\n' => {
                    states.push(line(&rows[row]));
                    row += 1;
                    if row == rows.len() {
                        rows.push(Vec::new());
                    }
                }
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['), "an escape that pcopy does not use");
                    let mut number = String::new();
                    let letter = loop {
                        match chars.next().unwrap() {
                            digit @ ('0'..='9' | ';' | '?') => number.push(digit),
                            letter => break letter,
                        }
                    };
                    let count = number.parse::<usize>().unwrap_or(1);
                    match letter {
                        'K' if number == "2" => {
                            states.push(line(&rows[row]));
                            rows[row].clear();
                        }
                        'K' if number.is_empty() || number == "0" => rows[row].truncate(column),
                        'A' => row = row.saturating_sub(count),
                        'B' => row += count,
                        'C' => column += count,
                        'D' => column = column.saturating_sub(count),
                        'm' | 'h' | 'l' => {}
                        other => panic!("pcopy does not use ESC [ {number} {other}"),
                    }
                    while rows.len() <= row {
                        rows.push(Vec::new());
                    }
                }
                c => {
                    assert!(!c.is_control(), "{c:?} reached the terminal raw");
                    while rows[row].len() <= column {
                        rows[row].push(' ');
                    }
                    rows[row][column] = c;
                    column += 1;
                }
            }
        }
        let mut screen: Vec<_> = rows.iter().map(|row| line(row)).collect();
        while screen.last().is_some_and(String::is_empty) {
            screen.pop();
        }
        states.retain(|state| !state.is_empty());
        Self { bytes: bytes.to_vec(), screen, states }
    }
}
