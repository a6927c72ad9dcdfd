/* Stands before the C library of a server under test, loaded by LD_PRELOAD. What it is to do lies
 * in a file that the test writes to and both map: no process needs a right that it lacks. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* As `crash/faults.rs` has them. */
struct orders {
    _Atomic int64_t sync_ms;     /* Each sync of the ledger takes so much longer. */
    _Atomic int64_t sync_fails;  /* Not 0: it fails. */
    _Atomic int64_t clock_ms;    /* Added to the time of day. */
    _Atomic int64_t dies_at;     /* The process dies before its sync of this number. */
    _Atomic int64_t events_fail; /* Not 0: each sync of the log of events fails. */
    _Atomic int64_t syncs;       /* Of the ledger, begun so far, in all processes. */
    _Atomic int64_t behaviour_fails; /* Not 0: each sync of the behaviour log fails. */
    _Atomic int64_t behaviour_ms; /* Each sync of the behaviour log takes so much longer. */
};

static struct orders none;
static struct orders *orders = &none;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("OUTBID_TEST_FAULTS");
    int fd = name ? open(name, O_RDWR) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) orders = mapped;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), ending = strlen(end);
    return length >= ending && strcmp(text + length - ending, end) == 0;
}

/* Whether it is the database of this name or its write-ahead log. */
static int is_of(const char *database, int fd) {
    char link[64], file[4096], write_ahead[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, file, sizeof file - 1);
    if (length < 0) return 0;
    file[length] = 0;
    snprintf(write_ahead, sizeof write_ahead, "%s-wal", database);
    return ends_with(file, database) || ends_with(file, write_ahead);
}

static int sync_by(const char *name, int fd) {
    static _Atomic int64_t own;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if ((orders->events_fail && is_of("events.db", fd)) ||
        (orders->behaviour_fails && is_of("behaviour.db", fd))) {
        errno = EIO;
        return -1;
    }
    for (int64_t waited = 0; waited < orders->behaviour_ms && is_of("behaviour.db", fd); waited += 5)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (!is_of("ledger.db", fd)) return real(fd);
    orders->syncs++;
    if (++own == orders->dies_at) kill(getpid(), SIGKILL);
    for (int64_t waited = 0; waited < orders->sync_ms; waited += 5)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (orders->sync_fails) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fsync(int fd) { return sync_by("fsync", fd); }

int fdatasync(int fd) { return sync_by("fdatasync", fd); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*_Atomic real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, now);
    if (outcome == 0 && clock == CLOCK_REALTIME) now->tv_sec += orders->clock_ms / 1000;
    return outcome;
}
