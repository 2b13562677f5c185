/* Lies between pcopy and the kernel, for the faults that strace cannot make; see shim.rs.
 *
 *   SHIM=short:SEED       reads and writes of files are partial, at random
 *   SHIM=kill:NUMBER:NTH  the NTH call of that number in a whole run kills its process group
 *
 * It writes into the file SHIM_LOG when it did so. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long (*kernel)(long, ...);
static _Atomic unsigned long *calls; /* of the whole run, in shared memory */
static unsigned long seed, nth;
static long deadly = -1;

__attribute__((constructor)) static void begin(void)
{
	const char *fault = getenv("SHIM");
	kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	calls = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!kernel || calls == MAP_FAILED || !fault
	    || (sscanf(fault, "short:%lu", &seed) != 1 && sscanf(fault, "kill:%ld:%lu", &deadly, &nth) != 2))
		abort();
}

static void report(const char *what)
{
	const char *path = getenv("SHIM_LOG");
	long log = kernel(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	kernel(SYS_write, log, what, 1L);
	kernel(SYS_close, log);
}

/* The call itself, unless it is the one that kills the run. */
static long call(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == deadly && ++*calls == nth) {
		report("k");
		kernel(SYS_kill, 0L, (long)SIGKILL);
	}
	return kernel(number, a, b, c, d, e, f);
}

/* How many of COUNT bytes this call reads or writes. */
static size_t part(int fd, size_t count)
{
	static int reported;
	struct stat stat;
	if (deadly >= 0 || count < 2 || fstat(fd, &stat) || !S_ISREG(stat.st_mode))
		return count;
	unsigned long chance = (seed + ++*calls) * 0x9e3779b97f4a7c15;
	chance ^= chance >> 29;
	size_t some = chance / 8 % (count - 1) + 1;
	size_t parts[] = { count, count, 1, count - 1, count / 2, some, some, some };
	if (!reported && parts[chance % 8] < count) {
		reported = 1;
		report("s");
	}
	/* Not so few that a large file needs a million calls. */
	return count > 65536 && parts[chance % 8] < 4096 ? 4096 + 1 : parts[chance % 8];
}

#define CALL(number, ...) CALL_(number, __VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(number, a, b, c, d, e, f, ...) \
	call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

ssize_t read(int fd, void *to, size_t count) { return CALL(SYS_read, fd, to, part(fd, count)); }
ssize_t write(int fd, const void *from, size_t count) { return CALL(SYS_write, fd, from, part(fd, count)); }

ssize_t pread64(int fd, void *to, size_t count, off64_t at)
{
	return CALL(SYS_pread64, fd, to, part(fd, count), at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at)
{
	return CALL(SYS_pwrite64, fd, from, part(fd, count), at);
}

ssize_t pread(int fd, void *to, size_t count, off_t at) { return pread64(fd, to, count, at); }
ssize_t pwrite(int fd, const void *from, size_t count, off_t at) { return pwrite64(fd, from, count, at); }

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t count, unsigned int flags)
{
	return CALL(SYS_copy_file_range, from, at, to, there, part(to, count), flags);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
	va_end(rest);
	return CALL(SYS_openat, dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
	va_end(rest);
	return CALL(SYS_openat, dir, path, flags | O_LARGEFILE, mode);
}

int mkdirat(int dir, const char *name, mode_t mode) { return CALL(SYS_mkdirat, dir, name, mode); }
int unlinkat(int dir, const char *name, int flags) { return CALL(SYS_unlinkat, dir, name, flags); }
int fchmod(int fd, mode_t mode) { return CALL(SYS_fchmod, fd, mode); }
int fsync(int fd) { return CALL(SYS_fsync, fd); }
int syncfs(int fd) { return CALL(SYS_syncfs, fd); }
int ftruncate64(int fd, off64_t size) { return CALL(SYS_ftruncate, fd, size); }
int ftruncate(int fd, off_t size) { return CALL(SYS_ftruncate, fd, size); }

int symlinkat(const char *text, int dir, const char *name) { return CALL(SYS_symlinkat, text, dir, name); }

int mknodat(int dir, const char *name, mode_t mode, dev_t device)
{
	return CALL(SYS_mknodat, dir, name, mode, device);
}

int linkat(int dir, const char *name, int to, const char *second, int flags)
{
	return CALL(SYS_linkat, dir, name, to, second, flags);
}

int renameat(int dir, const char *name, int to, const char *second)
{
	return CALL(SYS_renameat, dir, name, to, second);
}

int futimens(int fd, const struct timespec times[2])
{
	return CALL(SYS_utimensat, fd, NULL, times, 0);
}

int utimensat(int dir, const char *name, const struct timespec times[2], int flags)
{
	return CALL(SYS_utimensat, dir, name, times, flags);
}

/* For what libc has no function for: openat2, renameat2, futex. */
long syscall(long number, ...)
{
	long words[6];
	va_list rest;
	va_start(rest, number);
	for (int i = 0; i < 6; i++)
		words[i] = va_arg(rest, long);
	va_end(rest);
	return call(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
