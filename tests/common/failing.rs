//! A file system that can be told to fail, to wait or to end: `tests/fuse/failing.py`.

use crate::common::helpers::python;
use crate::common::mounts::{Mounted, in_own_mounts_for};
use crate::common::{Sandbox, skip_for};
use std::fs;
use std::process::Command;

/// A directory `under`, mounted at `at`.
pub(crate) struct Failing<'a> {
    env: &'a Sandbox,
    mounted: Option<Mounted>,
}

impl<'a> Failing<'a> {
    /// Mounts the file system. If this machine cannot do that, skips `test` and returns `None`.
    pub(crate) fn mount(test: &str, env: &'a Sandbox) -> Option<Self> {
        if !in_own_mounts_for(test) {
            return None;
        }
        env.tree("", ["dir under", "dir at"]);
        let mut failing = Self { env, mounted: None };
        match failing.start() {
            Ok(()) => Some(failing),
            Err(why) => {
                skip_for(test, why.lines().last().unwrap_or_default());
                None
            }
        }
    }

    /// Makes operations fail as `order` says; see the fixture.
    pub(crate) fn order(&self, order: &str) {
        let (fresh, switch) = (self.env.path("order.new"), self.env.path("order"));
        fs::write(&fresh, order).unwrap();
        fs::rename(fresh, switch).unwrap();
    }

    /// Lets everything pass. If the file system has ended, mounts it again.
    pub(crate) fn recover(&mut self) {
        self.order("");
        if fs::read_dir(self.env.path("at")).is_err() {
            self.mounted.take().unwrap().detach();
            self.start().unwrap();
        }
    }

    fn start(&mut self) -> Result<(), String> {
        self.order("");
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuse/failing.py");
        let mut command = Command::new(python());
        command.arg(fixture).args(["under", "at", "order"]).current_dir(self.env.path(""));
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        self.mounted = Some(Mounted(self.env.path("at")));
        Ok(())
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.order("");
    }
}
