/* Makes one write, sync or rename of a file fail, whoever calls it: Python or a native library.

   Loaded by LD_PRELOAD. EFLD_FAULTS names a file that all processes of a command map: what is to
   fail, and which calls there were. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOG_BYTES (1 << 20)

/* The same as in injection.py. */
static struct control {
    long fail_at; /* the number of the call that fails, from 1 on; 0 for none */
    long error;   /* its errno */
    long count;   /* of the calls so far */
    long logged;  /* bytes of the log */
    char folder[4096]; /* calls on files in it are counted; none if it is empty */
    char log[LOG_BYTES]; /* a line for each call: its name and the path */
} *control;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("EFLD_FAULTS");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED) control = mapped;
}

/* Whether the call is to fail; then errno is set. */
static int fails(const char *call, const char *path) {
    char absolute[2 * PATH_MAX], line[2 * PATH_MAX + 64];
    if (!control || !control->folder[0]) return 0;
    if (path[0] != '/') {
        if (!getcwd(absolute, PATH_MAX)) return 0;
        strncat(strcat(absolute, "/"), path, PATH_MAX - 1);
        path = absolute;
    }
    size_t length = strlen(control->folder);
    if (strncmp(path, control->folder, length) || (path[length] && path[length] != '/'))
        return 0;
    long number = __sync_add_and_fetch(&control->count, 1);
    int size = snprintf(line, sizeof line, "%s %s\n", call, path[length] ? path + length + 1 : ".");
    long place = __sync_fetch_and_add(&control->logged, size);
    if (place + size < LOG_BYTES) memcpy(control->log + place, line, size);
    if (number != control->fail_at) return 0;
    errno = (int)control->error;
    return 1;
}

static int fails_on(const char *call, int descriptor) {
    char name[64], path[PATH_MAX];
    if (!control || !control->folder[0]) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return path[0] == '/' && fails(call, path); /* not a pipe */
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAPPED(type, name, parameters, arguments, failing, failed) \
    type name parameters {                                          \
        static __typeof__(&name) real;                              \
        if (!real) real = REAL(name);                               \
        if (failing) return failed;                                 \
        return real arguments;                                      \
    }

WRAPPED(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size),
        fails_on("write", fd), -1)
WRAPPED(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
        fails_on("write", fd), -1)
WRAPPED(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
        fails_on("write", fd), -1)
WRAPPED(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at),
        (fd, data, size, at), fails_on("write", fd), -1)
WRAPPED(size_t, fwrite, (const void *data, size_t size, size_t count, FILE *file),
        (data, size, count, file), fails_on("write", fileno(file)), 0)
WRAPPED(int, fflush, (FILE *file), (file), file && fails_on("write", fileno(file)), EOF)
WRAPPED(int, ftruncate, (int fd, off_t size), (fd, size), fails_on("write", fd), -1)
WRAPPED(int, ftruncate64, (int fd, off64_t size), (fd, size), fails_on("write", fd), -1)
WRAPPED(int, fsync, (int fd), (fd), fails_on("sync", fd), -1)
WRAPPED(int, fdatasync, (int fd), (fd), fails_on("sync", fd), -1)
WRAPPED(int, rename, (const char *from, const char *to), (from, to), fails("rename", to), -1)
WRAPPED(int, renameat, (int one, const char *from, int other, const char *to),
        (one, from, other, to), fails("rename", to), -1)
WRAPPED(int, renameat2, (int one, const char *from, int other, const char *to, unsigned flags),
        (one, from, other, to, flags), fails("rename", to), -1)

/* The file is closed all the same. */
int fclose(FILE *file) {
    static __typeof__(&fclose) real;
    if (!real) real = REAL(fclose);
    int failed = fails_on("write", fileno(file)), number = errno;
    int code = real(file);
    if (!failed) return code;
    errno = number;
    return EOF;
}
