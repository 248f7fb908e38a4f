/* What a disk has after the power went: only what was synced, and some of what was not.
 *
 * Preloaded into a sender. Each fsync and fdatasync of a file in the folder POWER_CUT_FOLDER copies
 * what the file holds then to POWER_CUT_DISK/<inode>-<birth>; a sync of the folder itself copies its
 * names. tests/chaos/power.py makes the folder of after the cut from these and from what is there.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int key_of(int fd, const char *name, char *key, size_t size) {
    struct statx found;
    if (statx(fd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &found)) return -1;
    snprintf(key, size, "%llu-%lld.%u", (unsigned long long)found.stx_ino,
             (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    return 0;
}

static void put(const char *disk, const char *name, int from, const char *text, size_t length) {
    char path[PATH_MAX], now[PATH_MAX], block[65536];
    snprintf(path, sizeof path, "%s/%s", disk, name);
    snprintf(now, sizeof now, "%s/.%s.%d", disk, name, (int)gettid());
    int to = open(now, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0) abort();
    if (text != NULL && write(to, text, length) != (ssize_t)length) abort();
    off_t at = 0;
    for (ssize_t got; text == NULL && (got = pread(from, block, sizeof block, at)) > 0; at += got)
        if (write(to, block, got) != got) abort();
    close(to);
    if (rename(now, path)) abort();
}

static int synced(int fd) {
    const char *folder = getenv("POWER_CUT_FOLDER"), *disk = getenv("POWER_CUT_DISK");
    struct stat found;
    if (folder == NULL || disk == NULL || fstat(fd, &found)) return 0;
    char link[64], path[PATH_MAX], key[96];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder))) return 0;
    if (S_ISREG(found.st_mode)) {
        /* By this descriptor: closing another one would drop the process's locks on the file. */
        if (key_of(fd, "", key, sizeof key) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY) abort();
        put(disk, key, fd, NULL, 0);
    } else if (S_ISDIR(found.st_mode) && !strcmp(path, folder)) {
        char *names = calloc(1, 1 << 16);
        size_t used = 0;
        DIR *all = opendir(folder);
        if (all == NULL || names == NULL) abort();
        for (struct dirent *one; (one = readdir(all)) != NULL;)
            if (one->d_name[0] != '.' && !key_of(dirfd(all), one->d_name, key, sizeof key))
                used += snprintf(names + used, (1 << 16) - used, "%s\t%s\n", key, one->d_name);
        closedir(all);
        put(disk, "names", -1, names, used);
        free(names);
    }
    return 0;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }
