/* Counts what a process and its children ask of the disk and of SQLite: fsync and fdatasync calls, and SQL statements
 * that ran to their end. The three counters are 64-bit numbers in the file that COUNT_FILE names; it must exist with
 * 24 octets and be writable for whoever the processes become. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SQLITE_DONE 101

static uint64_t *counters;

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("COUNT_FILE");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *memory = mmap(NULL, 3 * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED)
        counters = memory;
    close(file);
}

static void count(int which)
{
    if (counters)
        __atomic_add_fetch(&counters[which], 1, __ATOMIC_RELAXED);
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "fsync");
    count(0);
    return real(file);
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (!real)
        real = dlsym(RTLD_NEXT, "fdatasync");
    count(1);
    return real(file);
}

int sqlite3_step(void *statement)
{
    static int (*real)(void *);
    /* Loaded later than we were, so RTLD_NEXT doesn't find it. */
    if (!real)
        real = dlsym(dlopen("libsqlite3.so.0", RTLD_LAZY | RTLD_NOLOAD), "sqlite3_step");
    int result = real(statement);
    if (result == SQLITE_DONE)
        count(2);
    return result;
}
