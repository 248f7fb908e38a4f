/* A SIGKILL, or an error of the disk, at the nth change to a folder.
 *
 * Preloaded into a process. What makes, writes, syncs, cuts, renames or removes a file under the
 * prefix is counted once `folder_faults_begin` was called, and named on a descriptor, one line each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char prefix[PATH_MAX];
static int at, error, told = -1, count;

static ssize_t (*next_write)(int, const void *, size_t);

/* fault: the number of the change; 0 for none. with: an errno, 0 for a SIGKILL before the change. */
void folder_faults_begin(const char *folder, int fault, int with, int tell) {
    next_write = dlsym(RTLD_NEXT, "write");
    snprintf(prefix, sizeof prefix, "%s/", folder);
    at = fault;
    error = with;
    count = 0;
    told = tell;
}

static int fails(const char *what, const char *path) {
    if (told < 0 || strncmp(path, prefix, strlen(prefix))) return 0;
    char line[PATH_MAX + 32];
    int saved = errno, now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    int length = snprintf(line, sizeof line, "%s %s\n", what, path + strlen(prefix));
    if (next_write(told, line, length) != length) _exit(71);
    errno = saved;
    if (now != at) return 0;
    if (error == 0) kill(getpid(), SIGKILL);
    errno = error;
    return 1;
}

static int fails_of(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    if (told < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(what, path);
}

/* A path as it is given is enough: the commands are given whole ones. What is not there is no change. */
static int fails_at(const char *what, const char *path) {
    int saved = errno, there = told >= 0 && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    errno = saved;
    if (told < 0 || (!there && *what == 'u') || (there && *what == 'c')) return 0;
    return fails(what, path);
}

#define NEXT(type, name, ...)                                                   \
    static type (*next)(__VA_ARGS__);                                           \
    if (next == NULL) next = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *from, size_t size) {
    NEXT(ssize_t, write, int, const void *, size_t);
    return fails_of("write", fd) ? -1 : next(fd, from, size);
}
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t where) {
    NEXT(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return fails_of("write", fd) ? -1 : next(fd, from, size, where);
}
ssize_t pwrite(int fd, const void *from, size_t size, off_t where) {
    NEXT(ssize_t, pwrite, int, const void *, size_t, off_t);
    return fails_of("write", fd) ? -1 : next(fd, from, size, where);
}
int fsync(int fd) {
    NEXT(int, fsync, int);
    return fails_of("sync", fd) ? -1 : next(fd);
}
int fdatasync(int fd) {
    NEXT(int, fdatasync, int);
    return fails_of("sync", fd) ? -1 : next(fd);
}
int ftruncate64(int fd, off64_t size) {
    NEXT(int, ftruncate64, int, off64_t);
    return fails_of("truncate", fd) ? -1 : next(fd, size);
}
int unlink(const char *path) {
    NEXT(int, unlink, const char *);
    return fails_at("unlink", path) ? -1 : next(path);
}
int rename(const char *from, const char *to) {
    NEXT(int, rename, const char *, const char *);
    return fails_at("rename", to) ? -1 : next(from, to);
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        NEXT(int, name, const char *, int, ...);                                \
        va_list rest;                                                           \
        va_start(rest, flags);                                                  \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;               \
        va_end(rest);                                                           \
        return flags & O_CREAT && fails_at("create", path) ? -1 : next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)
