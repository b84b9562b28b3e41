/* Records what a process and its children do to the files below one folder, in order and with the data (LD_PRELOAD).

   RELAYD_RECORD_UNDER    the folder; names outside it are none of our business
   RELAYD_RECORD_LOG      the log, made by the first process; tests/kit/recording.py reads it
   RELAYD_RECORD_SKIP     "files" or "folders": their syncs say yes and do nothing, and the log doesn't have them
   RELAYD_RECORD_DIE_AT   a process dies by SIGKILL in place of its so manieth sync, counted from 1
   RELAYD_RECORD_BOOT_ID  stands in for the kernel's boot id, for a machine that was switched off

   An entry is written before its call, both under a lock that all processes share, so that the order of entries is
   the order of the calls and a kill between the two leaves an entry too many rather than a change too few. A call
   that fails, or writes less, adds an entry that says so. A sync is two entries, and the call between them is made
   without the lock. Changes by mmap are not seen: SQLite makes them in its -shm file only, which no start trusts. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, RMDIR, SYNC_BEGUN, SYNC_DONE, RESULT };

struct entry {
    uint32_t kind, pid;
    uint64_t at;      /* CLOCK_MONOTONIC, in nanoseconds */
    uint64_t inode;   /* of the open file; for SYNC_DONE and RESULT the position of the entry that it belongs to */
    int64_t offset;   /* WRITE: where; TRUNCATE: the length; OPEN: the flags; RESULT: what the call returned */
    uint32_t name, other, data; /* lengths of what follows */
    uint32_t unused;
};

struct shared {
    uint64_t end; /* of the log: what lies behind it was never finished */
    pthread_mutex_t lock;
};

#define DESCRIPTORS 65536
#define NONE UINT64_MAX

static struct shared *shared;
static int log_descriptor = -1;
static const char *under;
static size_t under_length;
static const char *skipped = "";
static const char *boot_id;
long record_die_at, record_syncs; /* which a program may set for the children that it forks */
static struct { uint64_t inode; int is_folder; } known[DESCRIPTORS];

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); real; })

static void setup(void)
{
    const char *path = getenv("RELAYD_RECORD_LOG");
    under = getenv("RELAYD_RECORD_UNDER");
    boot_id = getenv("RELAYD_RECORD_BOOT_ID");
    if (getenv("RELAYD_RECORD_SKIP")) skipped = getenv("RELAYD_RECORD_SKIP");
    if (getenv("RELAYD_RECORD_DIE_AT")) record_die_at = atol(getenv("RELAYD_RECORD_DIE_AT"));
    if (!path || !under) return;
    under_length = strlen(under);
    char lock_path[4096];
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    int fresh = REAL(open)(lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int lock = fresh >= 0 ? fresh : REAL(open)(lock_path, O_RDWR | O_CLOEXEC);
    if (fresh >= 0 && REAL(ftruncate)(lock, sizeof *shared)) abort();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, lock, 0);
    log_descriptor = REAL(open)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || shared == MAP_FAILED || log_descriptor < 0) abort();
    REAL(close)(lock);
    if (fresh >= 0) {
        pthread_mutexattr_t how;
        pthread_mutexattr_init(&how);
        pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shared->lock, &how);
    }
    /* Out of the way of whoever closes or counts low descriptors. */
    int high = fcntl(log_descriptor, F_DUPFD_CLOEXEC, 900);
    if (high >= 0) { REAL(close)(log_descriptor); log_descriptor = high; }
}

__attribute__((constructor)) static void start(void)
{
    int before = errno;
    setup();
    errno = before;
}

static void take(void)
{
    if (pthread_mutex_lock(&shared->lock) == EOWNERDEAD) pthread_mutex_consistent(&shared->lock);
}

static void give(void)
{
    pthread_mutex_unlock(&shared->lock);
}

static void put(struct iovec *parts, int count, uint64_t length)
{
    uint64_t at = shared->end;
    for (int i = 0; i < count; i++)
        for (size_t done = 0; done < parts[i].iov_len;) {
            ssize_t n = REAL(pwrite64)(log_descriptor, (char *)parts[i].iov_base + done, parts[i].iov_len - done, at);
            if (n <= 0) abort();
            done += n;
            at += n;
        }
    shared->end += length;
}

/* Adds an entry, under the lock; its position in the log. */
static uint64_t note(enum kind kind, uint64_t inode, int64_t offset, const char *name, const char *other,
                     const struct iovec *data, int count)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct entry entry = {.kind = kind, .pid = getpid(), .at = now.tv_sec * 1000000000ull + now.tv_nsec,
                          .inode = inode, .offset = offset, .name = name ? strlen(name) : 0,
                          .other = other ? strlen(other) : 0};
    struct iovec parts[3 + count];
    parts[0] = (struct iovec){&entry, sizeof entry};
    parts[1] = (struct iovec){(void *)name, entry.name};
    parts[2] = (struct iovec){(void *)other, entry.other};
    for (int i = 0; i < count; i++) {
        parts[3 + i] = data[i];
        entry.data += data[i].iov_len;
    }
    uint64_t position = shared->end;
    put(parts, 3 + count, sizeof entry + entry.name + entry.other + entry.data);
    return position;
}

/* Says what a call returned that didn't do all of its entry, keeping errno; lets go of the lock. */
static long finish(uint64_t position, long result, long wanted)
{
    int error = errno;
    if (result != wanted) note(RESULT, position, result, NULL, NULL, NULL, 0);
    give();
    errno = error;
    return result;
}

static int ours(const char *path)
{
    return shared && path && !strncmp(path, under, under_length) && (path[under_length] == '/' || !path[under_length]);
}

static int tracked(int descriptor)
{
    return shared && descriptor >= 0 && descriptor < DESCRIPTORS && known[descriptor].inode;
}

/* open */

static int opened(const char *path, int flags, mode_t mode)
{
    if (boot_id && path && !strcmp(path, "/proc/sys/kernel/random/boot_id")) path = boot_id;
    if (!ours(path)) return REAL(open64)(path, flags, mode);
    take();
    int descriptor = REAL(open64)(path, flags, mode);
    int error = errno;
    struct stat facts;
    if (descriptor >= 0 && descriptor < DESCRIPTORS && !fstat(descriptor, &facts)) {
        known[descriptor].inode = facts.st_ino;
        known[descriptor].is_folder = S_ISDIR(facts.st_mode);
        note(OPEN, facts.st_ino, flags, path, NULL, NULL, 0);
    }
    give();
    errno = error;
    return descriptor;
}

#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); \
                       mode = va_arg(more, mode_t); va_end(more); } mode; })

int open(const char *path, int flags, ...) { mode_t mode = MODE(flags); return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { mode_t mode = MODE(flags); return opened(path, flags, mode); }

int openat(int folder, const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return path[0] == '/' ? opened(path, flags, mode) : REAL(openat64)(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    mode_t mode = MODE(flags);
    return path[0] == '/' ? opened(path, flags, mode) : REAL(openat64)(folder, path, flags, mode);
}

int close(int descriptor)
{
    if (descriptor >= 0 && descriptor < DESCRIPTORS) known[descriptor].inode = 0;
    return REAL(close)(descriptor);
}

/* A second descriptor of the same file is as good as the first. */
static int copied(int descriptor, int copy)
{
    if (copy >= 0 && copy < DESCRIPTORS && descriptor < DESCRIPTORS) known[copy] = known[descriptor];
    return copy;
}

int dup(int descriptor) { return copied(descriptor, REAL(dup)(descriptor)); }
int dup2(int descriptor, int copy) { return copied(descriptor, REAL(dup2)(descriptor, copy)); }
int dup3(int descriptor, int copy, int flags) { return copied(descriptor, REAL(dup3)(descriptor, copy, flags)); }

#define CONTROL(name) \
    va_list more; \
    va_start(more, command); \
    void *argument = va_arg(more, void *); \
    va_end(more); \
    int result = REAL(name)(descriptor, command, argument); \
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? copied(descriptor, result) : result;

int fcntl(int descriptor, int command, ...) { CONTROL(fcntl) }
int fcntl64(int descriptor, int command, ...) { CONTROL(fcntl64) }

/* data */

ssize_t pwrite64(int descriptor, const void *data, size_t length, off64_t offset)
{
    if (!tracked(descriptor)) return REAL(pwrite64)(descriptor, data, length, offset);
    struct iovec part = {(void *)data, length};
    take();
    uint64_t position = note(WRITE, known[descriptor].inode, offset, NULL, NULL, &part, 1);
    return finish(position, REAL(pwrite64)(descriptor, data, length, offset), length);
}

ssize_t pwrite(int descriptor, const void *data, size_t length, off_t offset)
{
    return pwrite64(descriptor, data, length, offset);
}

static off64_t place(int descriptor)
{
    struct stat facts;
    if (fcntl(descriptor, F_GETFL) & O_APPEND && !fstat(descriptor, &facts)) return facts.st_size;
    return lseek64(descriptor, 0, SEEK_CUR);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    if (!tracked(descriptor)) return REAL(writev)(descriptor, parts, count);
    long length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    take();
    uint64_t position = note(WRITE, known[descriptor].inode, place(descriptor), NULL, NULL, parts, count);
    return finish(position, REAL(writev)(descriptor, parts, count), length);
}

ssize_t write(int descriptor, const void *data, size_t length)
{
    if (!tracked(descriptor)) return REAL(write)(descriptor, data, length);
    struct iovec part = {(void *)data, length};
    take();
    uint64_t position = note(WRITE, known[descriptor].inode, place(descriptor), NULL, NULL, &part, 1);
    return finish(position, REAL(write)(descriptor, data, length), length);
}

int ftruncate64(int descriptor, off64_t length)
{
    if (!tracked(descriptor)) return REAL(ftruncate64)(descriptor, length);
    take();
    uint64_t position = note(TRUNCATE, known[descriptor].inode, length, NULL, NULL, NULL, 0);
    return finish(position, REAL(ftruncate64)(descriptor, length), 0);
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

/* names */

int rename(const char *from, const char *to)
{
    if (!ours(from) && !ours(to)) return REAL(rename)(from, to);
    take();
    uint64_t position = note(RENAME, NONE, 0, from, to, NULL, 0);
    return finish(position, REAL(rename)(from, to), 0);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return from[0] == '/' && to[0] == '/' ? rename(from, to) : REAL(renameat)(from_folder, from, to_folder, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    if (!ours(from) || !ours(to)) return REAL(linkat)(from_folder, from, to_folder, to, flags);
    take();
    uint64_t position = note(LINK, NONE, 0, from, to, NULL, 0);
    return finish(position, REAL(linkat)(from_folder, from, to_folder, to, flags), 0);
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

#define ON_A_NAME(name, kind, ...) \
    if (!ours(path)) return REAL(name)(__VA_ARGS__); \
    take(); \
    uint64_t position = note(kind, NONE, 0, path, NULL, NULL, 0); \
    return finish(position, REAL(name)(__VA_ARGS__), 0);

int unlink(const char *path) { ON_A_NAME(unlink, UNLINK, path) }
int mkdir(const char *path, mode_t mode) { ON_A_NAME(mkdir, MKDIR, path, mode) }
int rmdir(const char *path) { ON_A_NAME(rmdir, RMDIR, path) }
int unlinkat(int folder, const char *path, int flags)
{
    ON_A_NAME(unlinkat, flags & AT_REMOVEDIR ? RMDIR : UNLINK, folder, path, flags)
}
int mkdirat(int folder, const char *path, mode_t mode) { ON_A_NAME(mkdirat, MKDIR, folder, path, mode) }

/* syncs */

static int synced(int descriptor, int (*real)(int))
{
    if (!tracked(descriptor)) return real(descriptor);
    if (__atomic_add_fetch(&record_syncs, 1, __ATOMIC_RELAXED) == record_die_at) kill(getpid(), SIGKILL);
    if (!strcmp(skipped, known[descriptor].is_folder ? "folders" : "files")) return 0;
    take();
    uint64_t position = note(SYNC_BEGUN, known[descriptor].inode, 0, NULL, NULL, NULL, 0);
    give();
    int result = real(descriptor);
    int error = errno;
    if (result == 0) {
        take();
        note(SYNC_DONE, position, 0, NULL, NULL, NULL, 0);
        give();
    }
    errno = error;
    return result;
}

int fsync(int descriptor) { return synced(descriptor, REAL(fsync)); }
int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)); }
