//! Options that select the attributes that a copy preserves.

use super::super::usage_error::UsageError;
use super::super::values::Attribute;
use super::owner_and_mode::{mode_changes, new_owner};
use super::usage;
use crate::mode_changes::ModeChanges;
use crate::options::{CopyOptions, NewOwner, Preservation, Preserve};
use clap::{ArgMatches, Args};
use std::ffi::OsString;

/// The attributes that `-p`, and `--preserve` without a list, preserve.
const USUAL: &str = "mode,ownership,timestamps";

#[derive(Args, Debug)]
#[command(next_help_heading = "Preserved attributes")]
pub(super) struct PreserveFlags {
    /// Preserve all attributes (-d --preserve=all)
    ///
    /// In addition to the default (permission bits, times, hard links): owner and group, ACLs, extended attributes
    /// and the security context. pcopy warns of those that the file system does not support. Only root can preserve
    /// owners; as with cp, other users get no message about them.
    #[arg(short = 'a', long)]
    archive: bool,

    /// Same as --preserve=mode,ownership,timestamps
    #[arg(short = 'p')]
    preserve_usual: bool,

    /// Preserve the attributes in LIST
    ///
    /// LIST is a comma-separated list of mode (permission bits and ACLs), ownership, timestamps, links (hard links),
    /// acl, xattr, context, all and none [without =LIST: mode,ownership,timestamps]. They are preserved in
    /// addition to the default: permission bits, times and hard links. 'none' clears the list, which leaves what
    /// cp -r preserves. If an attribute that is named, and not only implied by 'all', cannot be preserved, the exit
    /// code is 1; otherwise pcopy only warns. The file is copied in any case. Options take effect in the order in
    /// which they are given.
    #[arg(
        long,
        value_name = "LIST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = USUAL,
        value_delimiter = ','
    )]
    preserve: Vec<Attribute>,

    /// Do not preserve the attributes in LIST
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    no_preserve: Vec<Attribute>,

    /// Give all copies this owner and group
    ///
    /// USER:GROUP, USER or :GROUP; names or numbers. What is not named is as without the option. A copy that cannot get
    /// what is named is a failure; its data is copied in any case.
    #[arg(
        long,
        value_name = "USER:GROUP",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = new_owner()
    )]
    chown: Vec<NewOwner>,

    /// Change the permission bits that copies get
    ///
    /// CHANGES is a comma-separated list of modes as for chmod(1), with rsync's prefixes D and F for directories only and
    /// for other entries only: D755,F644 or Dg+s,ug+w,Fo-w,+X. Repeated options add to the list. The result stands for the
    /// permission bits of the source, in comparisons, too. With --no-preserve=mode, the bits of any new entry are changed,
    /// the umask still applies, and entries that are not copied again keep theirs.
    #[arg(
        long,
        value_name = "CHANGES",
        hide_short_help = true,
        conflicts_with = "check_manifest",
        value_parser = mode_changes()
    )]
    chmod: Vec<ModeChanges>,

    /// Do not set the times of directories
    ///
    /// Useful where several users copy into one directory: only its owner can set its times.
    #[arg(short = 'O', long, hide_short_help = true)]
    omit_dir_times: bool,

    /// Set the SELinux context of created files
    ///
    /// Without =CONTEXT, the default for the directory that they are created in. Ignored with a warning where
    /// SELinux is disabled.
    #[arg(
        long,
        value_name = "CONTEXT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        hide_short_help = true,
        conflicts_with = super::COMPARING
    )]
    context: Option<OsString>,

    /// Same as --context, without an argument
    #[arg(short = 'Z', hide_short_help = true, conflicts_with = super::COMPARING)]
    default_context: bool,
}

impl PreserveFlags {
    pub(super) fn apply(
        self,
        matches: &ArgMatches,
        options: &mut CopyOptions,
    ) -> Result<(), UsageError> {
        change(matches, &mut options.preserve);
        options.preserve.omits_dir_times = self.omit_dir_times;
        for NewOwner { user, group } in self.chown {
            // As for rsync, one option can name the user and another one the group.
            options.chown.user = user.or(options.chown.user);
            options.chown.group = group.or(options.chown.group);
        }
        self.chmod.into_iter().for_each(|changes| options.chmod.append(changes));
        options.context = self.context.or(self.default_context.then(OsString::new));
        if options.context.is_some() && options.preserve.context == Preservation::Required {
            return Err(usage("--context and --preserve=context are mutually exclusive"));
        }
        Ok(())
    }
}

/// Applies all options about attributes, in the order in which the user gave them.
fn change(matches: &ArgMatches, preserve: &mut Preserve) {
    const FLAGS: [(&str, &[Attribute]); 3] = [
        ("archive", &[Attribute::All]),
        ("preserve_usual", &[Attribute::Mode, Attribute::Ownership, Attribute::Timestamps]),
        ("no_dereference_links", &[Attribute::Links]),
    ];
    let mut changes = Vec::new();
    for (id, attributes) in FLAGS {
        if let Some(place) = matches.index_of(id).filter(|_| matches.get_flag(id)) {
            changes.extend(attributes.iter().map(|&attribute| (place, attribute, true)));
        }
    }
    for (id, adds) in [("preserve", true), ("no_preserve", false)] {
        let attributes = matches.get_many::<Attribute>(id).into_iter().flatten().copied();
        let places = matches.indices_of(id).into_iter().flatten();
        changes.extend(places.zip(attributes).map(|(place, attribute)| (place, attribute, adds)));
    }
    changes.sort_by_key(|&(place, ..)| place);
    for (_, attribute, adds) in changes {
        if adds { attribute.add_to(preserve) } else { attribute.take_from(preserve) }
    }
}
