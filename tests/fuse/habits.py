#!/usr/bin/python3
"""Shows a directory as a file system with the habits of file systems that are not like a local Linux disk.

    habits.py UNDER AT [HABIT ...]

Mounts at AT what is in the directory UNDER, and goes into the background. Each HABIT is one of these:

    fold-case         names are found in any case, and kept as they were written (FAT, NTFS, SMB)
    no-leading-dot    no names that begin with a dot (some phones and object stores)
    names=BYTES       no longer names, and statfs(2) says so (eCryptfs: 143)
    names-silent=BYTES  the same, but statfs(2) says 255
    no-rename=ERRNO   nothing can be renamed (mountpoint-s3)
    no-replace=ERRNO  nothing can be renamed onto a name that exists
    no-dir-rename=ERRNO  directories cannot be renamed
    in-order=ERRNO    a file takes writes in order only, beginning in an empty new file (object stores)
    types=KIND        listings give every entry the type KIND: file, directory, unknown
    times=NS          times are cut to multiples of NS nanoseconds (FAT: 2000000000, SMB: 100)
    times-up=NS       times are rounded to the next multiple
    times-float       times are floating-point numbers of seconds
    latest=SECONDS    later times become this one (ext4 with 128-byte inodes: 2147483647)
    stamps-at-close   closing a file that was written sets its time to now
    no-times=ERRNO    times cannot be set; with the ERRNO OK the call succeeds and does nothing
    no-mode=ERRNO     permission bits cannot be set, in the same way
    follows-links     setting the times or the owner of a symlink sets those of the file that it leads to (sshfs)
    no-owner=ERRNO    owners cannot be set, in the same way
    no-xattr=ERRNO    there are no extended attributes
    no-links=ERRNO    hard links cannot be made
    no-symlinks=ERRNO symbolic links cannot be made
    no-nodes=ERRNO    FIFOs and devices cannot be made
    own-inodes        each name of a file has another inode number (mergerfs, sshfs)
    odd-sizes         symlinks, FIFOs and devices have a size of 24 bytes (ntfs-3g)
    late-remove       an open file that is removed gets another name until it is closed (most FUSE file systems)
    cache=SECONDS     the kernel remembers names and attributes (network file systems)
    locks             other mounts of UNDER see the locks of fcntl(2) (NFS, Lustre)

Without that habit locks stay in the kernel of the mount, as on most FUSE file systems.
"""

import ctypes
import errno
import fcntl
import os
import stat as modes
import struct
import sys
import time

from fusepy import FUSE, FuseOSError, Operations

OFD_GETLK, OFD_SETLK = 36, 37  # from Python 3.9 on also in fcntl
TYPES = {"file": modes.S_IFREG, "directory": modes.S_IFDIR, "unknown": 0}


def fail(number):
    raise FuseOSError(number)


class Habits(Operations):
    use_ns = True

    def __init__(self, under, habits):
        self.under = under
        self.habits = dict(habit.partition("=")[::2] for habit in habits)
        self.ends = {}  # for in-order: where the next write of each open file must begin
        self.written = set()
        if not self.has("locks"):
            self.lock = None  # the kernel of each mount keeps them

    def __call__(self, call, *arguments):
        try:
            return getattr(self, call)(*arguments)
        except OSError as error:
            raise FuseOSError(error.errno)

    def has(self, habit):
        return habit in self.habits

    def refuse(self, habit):
        """Fails with the errno of the habit. Returns true if the call does nothing, without an error."""
        number = self.habits.get(habit)
        if number is None or number == "OK":
            return number == "OK"
        fail(getattr(errno, number))

    def real(self, path):
        """The path below UNDER: as it was written, and the last component as given if there is none."""
        if not self.has("fold-case"):
            return self.under + path
        at = self.under
        for part in path.strip("/").split("/"):
            if part:
                written = [name for name in os.listdir(at) if name.lower() == part.lower()]
                at = os.path.join(at, written[0] if written else part)
        return at

    def new(self, path):
        """The path below UNDER for a name that is about to be made."""
        name = os.path.basename(path)
        if self.has("no-leading-dot") and name.startswith("."):
            fail(errno.EINVAL)
        self.check_length(path)
        return self.real(path)

    def check_length(self, path):
        limit = self.habits.get("names") or self.habits.get("names-silent")
        if limit and len(os.fsencode(os.path.basename(path))) > int(limit):
            fail(errno.ENAMETOOLONG)

    def getattr(self, path, handle=None):
        self.check_length(path)
        found = os.fstat(handle) if handle else os.lstat(self.real(path))
        keys = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_rdev")
        shown = {key: getattr(found, key) for key in keys}
        for kind in "amc":
            shown[f"st_{kind}time"] = getattr(found, f"st_{kind}time_ns")
        if self.has("odd-sizes") and not (modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode)):
            shown["st_size"] = 24
        return shown

    def readdir(self, path, handle):
        names = [".", ".."] + os.listdir(self.real(path))
        kind = self.habits.get("types")
        if kind is None:
            return names
        return [(name, {"st_mode": TYPES[kind], "st_ino": 0}, 0) for name in names]

    def opened(self, handle, is_empty):
        self.ends[handle] = 0 if is_empty else None
        return handle

    def create(self, path, mode, info=None):
        return self.opened(os.open(self.new(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode), True)

    def open(self, path, flags):
        return self.opened(os.open(self.real(path), flags & ~os.O_CREAT), False)

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def write(self, path, data, offset, handle):
        if self.has("in-order") and self.ends.get(handle) != offset:
            self.refuse("in-order")
        self.ends[handle] = offset + len(data)
        self.written.add(handle)
        return os.pwrite(handle, data, offset)

    def truncate(self, path, length, handle=None):
        if self.has("in-order") and (length or os.stat(self.real(path)).st_size):
            self.refuse("in-order")
        os.ftruncate(handle, length) if handle else os.truncate(self.real(path), length)

    def flush(self, path, handle):
        if self.has("stamps-at-close") and handle in self.written:
            os.utime(handle)
        return 0

    def release(self, path, handle):
        self.ends.pop(handle, None)
        self.written.discard(handle)
        os.close(handle)
        return 0

    def lock(self, path, handle, command, record):
        """Passes a lock of fcntl(2) on to the file below UNDER, where other mounts see it. Nobody waits here."""
        size = struct.calcsize("hhqqi0q")  # struct flock
        wanted = list(struct.unpack("hhqqi0q", ctypes.string_at(record, size)))
        wanted[4] = 0  # the lock belongs to the open file
        looks = command == fcntl.F_GETLK
        found = fcntl.fcntl(handle, OFD_GETLK if looks else OFD_SETLK, struct.pack("hhqqi0q", *wanted))
        if looks:
            ctypes.memmove(record, found, size)
        return 0

    def fsync(self, path, datasync, handle):
        return 0

    def fsyncdir(self, path, datasync, handle):
        return 0

    def mkdir(self, path, mode):
        os.mkdir(self.new(path), mode)

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        os.unlink(self.real(path))

    def rename(self, old, new):
        before, after = self.real(old), self.new(new)
        self.refuse("no-rename")
        if os.path.isdir(before):
            self.refuse("no-dir-rename")
        if os.path.lexists(after) and after != before:
            self.refuse("no-replace")
        os.rename(before, os.path.join(os.path.dirname(after), os.path.basename(new)))
        if after != before and os.path.basename(after) != os.path.basename(new):
            os.unlink(after)

    def link(self, path, other):
        self.refuse("no-links")
        os.link(self.real(other), self.new(path), follow_symlinks=False)

    def symlink(self, path, text):
        self.refuse("no-symlinks")
        os.symlink(text, self.new(path))

    def mknod(self, path, mode, device):
        if not modes.S_ISREG(mode):
            self.refuse("no-nodes")
        os.mknod(self.new(path), mode, device)

    def readlink(self, path):
        return os.readlink(self.real(path))

    def chmod(self, path, mode):
        if not self.refuse("no-mode"):
            os.chmod(self.real(path), mode)

    def chown(self, path, user, group):
        if not self.refuse("no-owner"):
            os.chown(self.real(path), user, group, follow_symlinks=self.has("follows-links"))

    def utimens(self, path, times=None):
        if self.refuse("no-times"):
            return
        times = times or (time.time_ns(),) * 2
        down, up = int(self.habits.get("times", 1)), int(self.habits.get("times-up", 1))
        times = tuple(-(-(int(at) // down * down) // up) * up for at in times)
        if self.has("times-float"):
            times = tuple(int(float(at / 10**9) * 10**9) for at in times)
        if self.has("latest"):
            times = tuple(min(at, int(self.habits["latest"]) * 10**9) for at in times)
        os.utime(self.real(path), ns=times, follow_symlinks=self.has("follows-links"))

    def statfs(self, path):
        found = os.statvfs(self.under)
        keys = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax")
        shown = {key: getattr(found, key) for key in keys}
        shown["f_namemax"] = int(self.habits.get("names", 255))
        return shown

    def getxattr(self, path, name, position=0):
        self.refuse("no-xattr")
        return os.getxattr(self.real(path), name, follow_symlinks=False)

    def listxattr(self, path):
        self.refuse("no-xattr")
        return os.listxattr(self.real(path), follow_symlinks=False)

    def setxattr(self, path, name, value, options, position=0):
        self.refuse("no-xattr")
        os.setxattr(self.real(path), name, value, options, follow_symlinks=False)

    def removexattr(self, path, name):
        self.refuse("no-xattr")
        os.removexattr(self.real(path), name, follow_symlinks=False)


under, at, *habits = sys.argv[1:]
mount = Habits(os.path.abspath(under), habits)
cached = float(mount.habits.get("cache", 0))
FUSE(mount, at, foreground=False, nothreads=True, allow_other=True, use_ino=not mount.has("own-inodes"),
     attr_timeout=cached, entry_timeout=cached, negative_timeout=cached, ac_attr_timeout=cached,
     hard_remove=not mount.has("late-remove"))
