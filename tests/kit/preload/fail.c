/* Makes libc's file calls fail while a test says so.
 *
 * The rule is in a file that RELAYD_TEST_FAIL names, mapped by every process that has this library, so a test can
 * change it at any time: see tests/kit/failing.py, whose layout this is. While nothing is armed a call costs one look
 * at memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8, TRUNCATE = 16, RENAME = 32, LINK = 64, MKDIR = 128, UNLINK = 256,
       STATVFS = 512, ACCEPT = 1024 };

struct rule {
    volatile uint32_t armed;
    volatile uint32_t calls;   /* which of the above */
    volatile int32_t error;    /* the errno */
    volatile uint32_t torn;    /* writes: put half of it down first, and fail the next one */
    volatile uint32_t writing; /* opens: only those that may create or write */
    volatile uint32_t hits;    /* how often it struck */
    char pattern[256];         /* fnmatch(3) on the whole path */
};

static struct rule *rule;

__attribute__((constructor)) static void map_rule(void)
{
    const char *path = getenv("RELAYD_TEST_FAIL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *rule, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        rule = mapped;
}

/* Whether this call on this path fails now; errno is set then. */
static int struck(uint32_t call, const char *path)
{
    if (!rule || !rule->armed || !(rule->calls & call) || fnmatch(rule->pattern, path, 0) != 0)
        return 0;
    __atomic_add_fetch(&rule->hits, 1, __ATOMIC_SEQ_CST);
    errno = rule->error;
    return 1;
}

static int struck_fd(uint32_t call, int fd)
{
    char link[64], path[4096];
    if (!rule || !rule->armed || !(rule->calls & call))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return struck(call, path);
}

static int struck_open(const char *path, int flags)
{
    if (rule && rule->writing && !(flags & (O_WRONLY | O_RDWR | O_CREAT)))
        return 0;
    return struck(OPEN, path);
}

static void *next(void **found, const char *name)
{
    if (!*found)
        *found = dlsym(RTLD_NEXT, name);
    return *found;
}

#define REAL(name) ((__typeof__(&name))next(&real_##name, #name))
#define DECLARE(name) static void *real_##name

#define HOOK_OPEN(name)                                                                                              \
    DECLARE(name);                                                                                                   \
    int name(const char *path, int flags, ...)                                                                       \
    {                                                                                                                \
        va_list rest;                                                                                                \
        va_start(rest, flags);                                                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                    \
        va_end(rest);                                                                                                \
        return struck_open(path, flags) ? -1 : REAL(name)(path, flags, mode);                                        \
    }
HOOK_OPEN(open)
HOOK_OPEN(open64)

#define HOOK_OPENAT(name)                                                                                            \
    DECLARE(name);                                                                                                   \
    int name(int folder, const char *path, int flags, ...)                                                           \
    {                                                                                                                \
        va_list rest;                                                                                                \
        va_start(rest, flags);                                                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                    \
        va_end(rest);                                                                                                \
        return struck_open(path, flags) ? -1 : REAL(name)(folder, path, flags, mode);                                \
    }
HOOK_OPENAT(openat)
HOOK_OPENAT(openat64)

DECLARE(read);
ssize_t read(int fd, void *buffer, size_t size)
{
    return struck_fd(READ, fd) ? -1 : REAL(read)(fd, buffer, size);
}

DECLARE(pread64);
ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    return struck_fd(READ, fd) ? -1 : REAL(pread64)(fd, buffer, size, offset);
}

DECLARE(preadv64v2);
ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags)
{
    return struck_fd(READ, fd) ? -1 : REAL(preadv64v2)(fd, parts, count, offset, flags);
}

/* Of a torn write half is done, as when a disk fills up in the middle of it; the rest of it fails. */
static int torn(size_t size)
{
    return rule->torn && rule->hits % 2 == 1 && size > 1;
}

DECLARE(write);
ssize_t write(int fd, const void *buffer, size_t size)
{
    if (!struck_fd(WRITE, fd))
        return REAL(write)(fd, buffer, size);
    return torn(size) ? REAL(write)(fd, buffer, size / 2) : -1;
}

DECLARE(pwrite64);
ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    if (!struck_fd(WRITE, fd))
        return REAL(pwrite64)(fd, buffer, size, offset);
    return torn(size) ? REAL(pwrite64)(fd, buffer, size / 2, offset) : -1;
}

#define HOOK_FD(name, call)                                                                                          \
    DECLARE(name);                                                                                                   \
    int name(int fd)                                                                                                 \
    {                                                                                                                \
        return struck_fd(call, fd) ? -1 : REAL(name)(fd);                                                            \
    }
HOOK_FD(fsync, SYNC)
HOOK_FD(fdatasync, SYNC)

DECLARE(ftruncate64);
int ftruncate64(int fd, off64_t length)
{
    return struck_fd(TRUNCATE, fd) ? -1 : REAL(ftruncate64)(fd, length);
}

DECLARE(rename);
int rename(const char *from, const char *to)
{
    return struck(RENAME, to) ? -1 : REAL(rename)(from, to);
}

DECLARE(link);
int link(const char *from, const char *to)
{
    return struck(LINK, to) ? -1 : REAL(link)(from, to);
}

DECLARE(mkdir);
int mkdir(const char *path, mode_t mode)
{
    return struck(MKDIR, path) ? -1 : REAL(mkdir)(path, mode);
}

DECLARE(unlink);
int unlink(const char *path)
{
    return struck(UNLINK, path) ? -1 : REAL(unlink)(path);
}

DECLARE(statvfs64);
int statvfs64(const char *path, struct statvfs64 *facts)
{
    return struck(STATVFS, path) ? -1 : REAL(statvfs64)(path, facts);
}

DECLARE(accept4);
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    return struck(ACCEPT, "") ? -1 : REAL(accept4)(fd, address, length, flags);
}
