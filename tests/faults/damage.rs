//! A disk that fails while pcopy reads it: all blocks from some block on return errors.

use crate::checker::{Excuse, wrongs};
use crate::common::chance::Dice;
use crate::common::images::make_image;
use crate::common::mounts::{Mounted, mount};
use crate::common::{Sandbox, wait_until};
use crate::ending::finish_with_output;
use crate::limits::EXT4_SMALL;
use crate::world::{Line, World};
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

/// The size of the disk in bytes: twice what the largest tree needs.
const DISK_BYTES: usize = 48 << 20;
const SECTOR_BYTES: usize = 512;

/// The number of files that are added to each world, so that the run takes long enough.
const MORE_FILES: usize = 300;

/// Runs pcopy from a disk that has lost its end before or during the run, then from the whole disk. Returns
/// what is wrong after both runs, and whether a read failed.
pub(crate) fn is_survived(line: Line, jobs: u16, seed: u64) -> (String, bool) {
    let mut dice = Dice::seeded(seed);
    let (disk, env) = (Sandbox::new(), Sandbox::new());
    let (image, whole, at) = (disk.path("image"), disk.path("whole"), env.path("src"));
    fs::create_dir(&at).unwrap();
    make_image(&image, EXT4_SMALL, DISK_BYTES as u64);
    let mounted = attach(&image, &at, "loop");
    env.many("src", MORE_FILES, 0);
    let world = World::within(env, line);
    mounted.detach();
    fs::copy(&image, &whole).unwrap();
    let mounted = attach(&image, &at, "loop,ro"); // again, so that nothing is in the page cache
    let output = tempfile::tempfile().unwrap();
    let stream = || output.try_clone().unwrap();
    let mut command = world.command(&[], jobs);
    command.stdout(stream()).stderr(stream());

    // Most data lies at the beginning.
    let most = [DISK_BYTES, DISK_BYTES / 8][dice.below(2)];
    // A disk returns whole sectors. A loop device fills up a partial one, which no reader could detect.
    let left = dice.below(most / SECTOR_BYTES) as u64 * SECTOR_BYTES as u64;
    let lose = || OpenOptions::new().write(true).open(&image).unwrap().set_len(left).unwrap();
    let before = dice.below(2) == 0;
    if before {
        lose();
    }
    let child = command.spawn().unwrap();
    if !before {
        std::thread::sleep(dice.moment(Duration::from_millis(6)));
        lose();
    }
    let ending = finish_with_output(child, output);

    mounted.detach();
    let mounted = attach(&whole, &at, "loop,ro");
    let excuse = Excuse { half: true, again: true, ..Excuse::default() };
    let wrong = wrongs(&world, &ending, excuse);
    mounted.detach();
    let story = || format!("{left} bytes left, {jobs} copiers, seed {seed}, {line:?}\n{wrong}");
    let failed = ending.code() != Some(0);
    (if wrong.is_empty() { String::new() } else { story() }, failed)
}

fn attach(image: &Path, at: &Path, options: &str) -> Mounted {
    let mut mounted = None;
    // Of two mounts that take the same loop device at the same moment one fails.
    wait_until("an image is mounted", || {
        mounted = mount(&["-t", "ext4", "-o", options, image.to_str().unwrap()], at);
        mounted.is_some()
    });
    mounted.unwrap()
}
