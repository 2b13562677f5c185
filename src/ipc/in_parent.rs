//! How a copier that works inside the parent process lets the parent do its other work.

/// The parent process, for a copier that is not a process of its own, because none could be forked.
pub(crate) trait InParent {
    /// Lets the parent handle signals and show the progress, if that is due. Copiers call it between two entries
    /// and between two parts of a file.
    fn attend(&self);

    /// Gives the parent encoded reports, or a part of one.
    fn receive(&self, reports: &[u8]);
}
