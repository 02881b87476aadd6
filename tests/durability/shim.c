/* Faults in writes below one folder: a record of them, an error, or the end of the process.
 *
 * Preloaded, it counts every call that changes a file or a folder below the root. The n-th one fails
 * with an error number, or kills the process after a part of its bytes; all of them can be logged.
 * Or another folder vanishes before it, as a disk that is unmounted, or the clock jumps.
 * The program arms it through `shim_arm`; until then it does nothing.
 */
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
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { OFF, FAIL_ONCE, FAIL_ALWAYS, KILL, VANISH, JUMP };
static int mode = OFF, error_number = EIO, log_fd = -1;
static long count = 0, target = 0;
static char root[4096], mounted[4096], unmounted[4096];
static long jump = 0, clock_offset = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ({ static typeof(name) *f; if (!f) f = dlsym(RTLD_NEXT, #name); f; })

void shim_arm(const char *folder, int how, long nth, int number, const char *log) {
    snprintf(root, sizeof root, "%s", folder);
    mode = how; target = nth; error_number = number; count = 0;
    log_fd = *log ? REAL(open)(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
}
long shim_count(void) { return count; }
void shim_vanish(const char *from, const char *to) {
    snprintf(mounted, sizeof mounted, "%s", from);
    snprintf(unmounted, sizeof unmounted, "%s", to);
}
void shim_jump(long seconds) { jump = seconds; }

static int below(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}
static int absolute(int dir, const char *path, char *out) {
    char base[4096], link[64];
    if (*path == '/') { snprintf(out, 4096, "%s", path); return below(out); }
    if (dir == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
    else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
    }
    snprintf(out, 4096, "%.2000s/%.2000s", base, path);
    return below(out);
}
static int of_fd(int fd, char *out) {
    char link[64];
    if (!*root || fd < 0 || fd == log_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, 4095);
    if (n < 0) return 0;
    out[n] = 0;
    char *deleted = strstr(out, " (deleted)");
    if (deleted) return 0;
    return below(out);
}
/* One record: operation, path, second path, offset, number of bytes, the bytes. */
static void record(char op, const char *path, const char *to, int64_t at, const void *d, int64_t n) {
    if (log_fd < 0) return;
    uint32_t lengths[2] = {strlen(path), strlen(to)};
    int64_t numbers[2] = {at, n};
    char head[1 + sizeof lengths + sizeof numbers];
    head[0] = op;
    memcpy(head + 1, lengths, sizeof lengths);
    memcpy(head + 1 + sizeof lengths, numbers, sizeof numbers);
    REAL(write)(log_fd, head, sizeof head);
    REAL(write)(log_fd, path, lengths[0]);
    REAL(write)(log_fd, to, lengths[1]);
    if (d) REAL(write)(log_fd, d, n);
}
void shim_mark(const char *text) {
    pthread_mutex_lock(&lock);
    record('M', text, "", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}
/* Count a call; return 1 if it must fail. `part` is the number of bytes to write before a kill. */
static int due(void) {
    long n = ++count;
    if (mode == OFF || n < target) return 0;
    if (mode == FAIL_ALWAYS) return 1;
    if (n != target) return 0;
    if (mode == JUMP) { clock_offset = jump; return 0; }
    if (mode == VANISH) { /* an empty folder stays, as that of a mount */
        if (!REAL(renameat)(AT_FDCWD, mounted, AT_FDCWD, unmounted)) REAL(mkdir)(mounted, 0700);
        return 0;
    }
    return 1;
}
#define BEGIN pthread_mutex_lock(&lock)
#define END(value) do { int e = errno; pthread_mutex_unlock(&lock); errno = e; return value; } while (0)
#define FAULT do { if (due()) { if (mode == KILL) raise(SIGKILL); errno = error_number; END(-1); } } while (0)

static ssize_t written(int fd, const void *data, size_t n, off_t at, int positioned) {
    char path[4096];
    if (!of_fd(fd, path)) {
        return positioned ? REAL(pwrite64)(fd, data, n, at) : REAL(write)(fd, data, n);
    }
    BEGIN;
    int must_fail = due();
    if (must_fail && mode == KILL) {
        if (positioned) REAL(pwrite64)(fd, data, n / 2, at); else REAL(write)(fd, data, n / 2);
        raise(SIGKILL);
    }
    if (must_fail) { errno = error_number; END(-1); }
    off_t place = positioned ? at : lseek(fd, 0, SEEK_CUR);
    if (!positioned && (fcntl(fd, F_GETFL) & O_APPEND)) place = lseek(fd, 0, SEEK_END);
    ssize_t done = positioned ? REAL(pwrite64)(fd, data, n, at) : REAL(write)(fd, data, n);
    if (done > 0) record('W', path, "", place, data, done);
    END(done);
}
ssize_t write(int fd, const void *data, size_t n) { return written(fd, data, n, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return written(fd, data, n, at, 1); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return written(fd, data, n, at, 1); }

#define OPENED(call) \
    mode_t bits = 0; \
    if (flags & O_CREAT) { va_list rest; va_start(rest, flags); bits = va_arg(rest, int); va_end(rest); } \
    char path[4096]; \
    int changes = (flags & (O_CREAT | O_TRUNC)) && *root && absolute(dir, name, path); \
    if (!changes) return call; \
    BEGIN; \
    int existed = !access(path, F_OK); \
    if (existed && !(flags & O_TRUNC)) { int fd = call; END(fd); } \
    FAULT; \
    int fd = call; \
    if (fd >= 0) record(existed ? 'T' : 'C', path, "", 0, NULL, 0); \
    END(fd)
int open(const char *name, int flags, ...) { int dir = AT_FDCWD; OPENED(REAL(open)(name, flags, bits)); }
int open64(const char *name, int flags, ...) { int dir = AT_FDCWD; OPENED(REAL(open64)(name, flags, bits)); }
int openat(int dir, const char *name, int flags, ...) { OPENED(REAL(openat)(dir, name, flags, bits)); }
int openat64(int dir, const char *name, int flags, ...) { OPENED(REAL(openat64)(dir, name, flags, bits)); }

static int synced(int fd, int data) {
    char path[4096];
    if (!of_fd(fd, path)) return data ? REAL(fdatasync)(fd) : REAL(fsync)(fd);
    BEGIN;
    FAULT;
    record('S', path, "", 0, NULL, 0); /* the disk of a test need not be waited for */
    END(0);
}
int fsync(int fd) { return synced(fd, 0); }
int fdatasync(int fd) { return synced(fd, 1); }

static int truncated(int fd, off_t length) {
    char path[4096];
    if (!of_fd(fd, path)) return REAL(ftruncate64)(fd, length);
    BEGIN;
    FAULT;
    int done = REAL(ftruncate64)(fd, length);
    if (!done) record('T', path, "", length, NULL, 0);
    END(done);
}
int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

#define NAMED(op, at, call) \
    char path[4096]; \
    if (!*root || !absolute(at, name, path)) return call; \
    BEGIN; \
    FAULT; \
    int done = call; \
    if (!done) record(op, path, "", 0, NULL, 0); \
    END(done)
int mkdir(const char *name, mode_t bits) { NAMED('D', AT_FDCWD, REAL(mkdir)(name, bits)); }
int mkdirat(int dir, const char *name, mode_t bits) { NAMED('D', dir, REAL(mkdirat)(dir, name, bits)); }
int unlink(const char *name) { NAMED('U', AT_FDCWD, REAL(unlink)(name)); }
int unlinkat(int dir, const char *name, int flags) { NAMED('U', dir, REAL(unlinkat)(dir, name, flags)); }
int rmdir(const char *name) { NAMED('U', AT_FDCWD, REAL(rmdir)(name)); }

static int renamed(int from, const char *name, int to, const char *other) {
    char path[4096], second[4096];
    if (!*root || !absolute(from, name, path) || !absolute(to, other, second)) {
        return REAL(renameat)(from, name, to, other);
    }
    BEGIN;
    FAULT;
    int done = REAL(renameat)(from, name, to, other);
    if (!done) record('R', path, second, 0, NULL, 0);
    END(done);
}
int renameat2(int from, const char *name, int to, const char *other, unsigned flags) {
    if (flags & ~RENAME_NOREPLACE) { errno = EINVAL; return -1; } /* as a file system without them */
    char path[4096], second[4096];
    if (!*root || !absolute(from, name, path) || !absolute(to, other, second)) {
        return REAL(renameat2)(from, name, to, other, flags);
    }
    BEGIN;
    FAULT;
    int done = REAL(renameat2)(from, name, to, other, flags);
    if (!done) record('R', path, second, 0, NULL, 0);
    END(done);
}
int rename(const char *name, const char *other) { return renamed(AT_FDCWD, name, AT_FDCWD, other); }
int renameat(int a, const char *name, int b, const char *other) { return renamed(a, name, b, other); }

int linkat(int from, const char *name, int to, const char *other, int flags) {
    char path[4096], second[4096];
    if (!*root || !absolute(from, name, path) || !absolute(to, other, second)) {
        return REAL(linkat)(from, name, to, other, flags);
    }
    BEGIN;
    FAULT;
    int done = REAL(linkat)(from, name, to, other, flags);
    if (!done) record('L', path, second, 0, NULL, 0);
    END(done);
}
int link(const char *name, const char *other) { return linkat(AT_FDCWD, name, AT_FDCWD, other, 0); }

int clock_gettime(clockid_t which, struct timespec *now) {
    int done = REAL(clock_gettime)(which, now);
    if (!done && which == CLOCK_REALTIME) now->tv_sec += clock_offset;
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    int done = REAL(gettimeofday)(now, zone);
    if (!done) now->tv_sec += clock_offset;
    return done;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
