#!/usr/bin/python3
"""Prints in one line what a copy lacks that its source has: the number of entries for each kind of loss.

    lost.py SOURCE COPY

It shares no code with pcopy. It prints "nothing" if the copy has everything.
"""

import hashlib
import os
import stat
import sys
from collections import Counter

ACL = b"system.posix_acl_"


def entries(top):
    """The paths of all entries below `top`, and `top` itself, relative to it."""
    yield b"."
    for at, dirs, files in os.walk(top):
        for name in dirs + files:
            yield os.path.relpath(os.path.join(at, name), top)


def attributes(path):
    try:
        names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.startswith(b"trusted.SGI_"):
            continue  # xfs lists its ACLs a second time
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=False)
        except OSError:
            pass
    return found


def contents(path):
    sum = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sum.update(block)
    return sum.digest()


def losses(source, copy):
    """The kinds of losses of one entry."""
    one = os.lstat(source)
    try:
        other = os.lstat(copy)
    except OSError:
        yield "missing"
        return
    if stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
        yield "type"
        return
    if stat.S_ISREG(one.st_mode):
        if one.st_size != other.st_size or contents(source) != contents(copy):
            yield "CONTENTS"
        if one.st_blocks * 512 < one.st_size <= other.st_blocks * 512:
            yield "holes"
    if stat.S_ISLNK(one.st_mode) and os.readlink(source) != os.readlink(copy):
        yield "TARGET OF A SYMLINK"
    if one.st_rdev != other.st_rdev:
        yield "DEVICE NUMBER"
    if not stat.S_ISLNK(one.st_mode) and stat.S_IMODE(one.st_mode) != stat.S_IMODE(other.st_mode):
        yield "mode"
    if (one.st_uid, one.st_gid) != (other.st_uid, other.st_gid):
        yield "owner"
    if one.st_mtime_ns != other.st_mtime_ns:
        seconds = abs(one.st_mtime_ns - other.st_mtime_ns) / 1e9
        yield "time (fraction)" if seconds < 1 else "time (2 s)" if seconds < 2 else "TIME"
    if not stat.S_ISDIR(one.st_mode) and one.st_nlink != other.st_nlink:
        yield "hard links"
    had, has = attributes(source), attributes(copy)
    is_acl = lambda name: name.startswith(ACL)
    if any(is_acl(name) and has.get(name) != value for name, value in had.items()):
        yield "ACL"
    if any(not is_acl(name) and has.get(name) != value for name, value in had.items()):
        yield "xattr"


source, copy = (os.fsencode(path) for path in sys.argv[1:])
lost = Counter(
    loss for path in entries(source) for loss in losses(os.path.join(source, path), os.path.join(copy, path))
)
print(", ".join(f"{count} {kind}" for kind, count in lost.items()) or "nothing")
