#!/usr/bin/python3
"""Shows a directory as a file system that can be told to fail: failing.py UNDER AT SWITCH

The file SWITCH has one line, which is read before each operation:
  ERRNO [OPERATIONS [NAME]]  these operations fail with this error, for entries whose path ends in NAME (`*`: any)
  hang [OPERATIONS [NAME]]   they wait until the line is another one
  exit [OPERATIONS [NAME]]   the file system ends, as if it were killed
With a fourth word `on`, the first operation that fails or waits makes all later ones do so, too.
OPERATIONS is a list like `read,open`, or `all`. An empty file, or none, lets everything pass.
"""

import errno
import os
import sys
import time

from fusepy import FUSE, FuseOSError, Operations


class Failing(Operations):
    def __init__(self, under, switch):
        self.under = under
        self.switch = switch

    def order(self, operation, path):
        """The first word of the line, if the line concerns this operation."""
        try:
            with open(self.switch) as line:
                words = line.read().split()
        except FileNotFoundError:
            return None
        operations = words[1].split(",") if len(words) > 1 else ["all"]
        concerned = operation in operations or operations == ["all"]
        named = len(words) < 3 or words[2] == "*" or str(path).endswith(words[2])
        if not (words and concerned and named):
            return None
        if len(words) > 3:
            with open(self.switch, "w") as line:
                line.write(words[0])
        return words[0]

    def __call__(self, operation, path, *rest):
        if operation not in ("init", "destroy", "release", "releasedir"):
            while (order := self.order(operation, path)) == "hang":
                time.sleep(0.02)
            if order == "exit":
                os._exit(1)
            if order:
                raise FuseOSError(getattr(errno, order))
        return super().__call__(operation, path, *rest)

    def real(self, path):
        return os.path.join(self.under, path.strip("/"))

    def getattr(self, path, handle=None):
        stat = os.fstat(handle) if handle else os.lstat(self.real(path))
        found = {key: getattr(stat, key) for key in (
            "st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")}
        for kind in "amc":
            found[f"st_{kind}time"] = getattr(stat, f"st_{kind}time_ns")
        return found

    def readdir(self, path, handle):
        return [".", ".."] + os.listdir(self.real(path))

    def create(self, path, mode, info=None):
        return os.open(self.real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path, flags):
        return os.open(self.real(path), flags & ~os.O_CREAT)

    def read(self, path, size, offset, handle):
        return os.pread(handle, size, offset)

    def write(self, path, data, offset, handle):
        return os.pwrite(handle, data, offset)

    def truncate(self, path, length, handle=None):
        os.truncate(self.real(path), length)

    def release(self, path, handle):
        os.close(handle)

    def mkdir(self, path, mode):
        os.mkdir(self.real(path), mode)

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        os.unlink(self.real(path))

    def rename(self, old, new):
        os.rename(self.real(old), self.real(new))

    def link(self, path, other):
        os.link(self.real(other), self.real(path), follow_symlinks=False)

    def symlink(self, path, text):
        os.symlink(text, self.real(path))

    def readlink(self, path):
        return os.readlink(self.real(path))

    def chmod(self, path, mode):
        os.chmod(self.real(path), mode)

    def chown(self, path, user, group):
        os.lchown(self.real(path), user, group)

    def utimens(self, path, times=None):
        os.utime(self.real(path), ns=tuple(int(time) for time in times), follow_symlinks=False)

    def fsync(self, path, datasync, handle):
        os.fsync(handle)

    def statfs(self, path):
        stat = os.statvfs(self.under)
        return {key: getattr(stat, key) for key in ("f_bsize", "f_blocks", "f_bfree", "f_bavail", "f_files")}

    def getxattr(self, path, name, position=0):
        raise FuseOSError(errno.ENODATA)

    def listxattr(self, path):
        return []


Operations.use_ns = True
FUSE(Failing(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])), sys.argv[2], foreground=False,
     nothreads=True, use_ino=True, attr_timeout=0, entry_timeout=0, ac_attr_timeout=0, allow_other=True,
     hard_remove=True)
