"""Runs a program as on a Linux before 6.13, which lacks setxattrat, getxattrat, listxattrat and removexattrat.

    old_kernel.py PROGRAM [ARGUMENT ...]

The calls answer ENOSYS, by a seccomp filter. Their numbers are the same on all machines.
"""

import ctypes
import errno
import os
import struct
import sys

FIRST, LAST = 463, 466
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, JUMP_IF_AT_LEAST, JUMP_IF_ABOVE, RETURN = 0x20, 0x35, 0x25, 0x06

PROGRAM = [
    (LOAD, 0, 0, 0),  # the number of the call
    (JUMP_IF_AT_LEAST, 0, 2, FIRST),
    (JUMP_IF_ABOVE, 1, 0, LAST),
    (RETURN, 0, 0, ERRNO | errno.ENOSYS),
    (RETURN, 0, 0, ALLOW),
]


def main():
    code = b"".join(struct.pack("HBBI", *step) for step in PROGRAM)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxP", len(PROGRAM), ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_, 0, 0):
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    os.execvp(sys.argv[1], sys.argv[1:])


main()
