/* Writes a file or a directory that a step left as a tar archive. It runs in the child that collects, which has no descriptor of init. */
#define _GNU_SOURCE
#include "init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define NAME_FIELD 100
#define DEPTH_MAX 200
#define ENTRIES_MAX 100000
#define PATH_BYTES 4000

static int out;
static long left, entries; /* bytes that may still be written, and entries that were */
static char path[PATH_BYTES + 2]; /* of the entry that is written, from the root */
static char target[PATH_BYTES + 2];

static void put(const void *data, size_t size) {
  if ((left -= (long)size) < 0) collect_finish("too-big", "larger than allowed");
  for (size_t at = 0; at < size;) {
    ssize_t n = write(out, (const char *)data + at, size - at);
    if (n < 0) collect_finish("error", strerror(errno));
    at += (size_t)n;
  }
}

static void pad(long size) {
  static const char zeros[BLOCK];
  if (size % BLOCK) put(zeros, (size_t)(BLOCK - size % BLOCK));
}

/* Writes a number as octal digits and a NUL; one that does not fit becomes 0, which only a time may be. */
static void octal(char *field, int size, long value) {
  if (value < 0 || value >> (3 * (size - 1))) value = 0;
  snprintf(field, (size_t)size, "%0*lo", size - 1, (unsigned long)value);
}

static void block(const char *name, char type, unsigned mode, long size, long mtime, const char *link) {
  char header[BLOCK] = {0};
  unsigned sum = 0;
  memcpy(header, name, strnlen(name, NAME_FIELD));
  octal(header + 100, 8, mode & 0777);
  octal(header + 108, 8, 0);
  octal(header + 116, 8, 0);
  octal(header + 124, 12, size);
  octal(header + 136, 12, mtime);
  memset(header + 148, ' ', 8);
  header[156] = type;
  memcpy(header + 157, link, strnlen(link, NAME_FIELD));
  memcpy(header + 257, "ustar\00000", 8);
  for (int i = 0; i < BLOCK; i++) sum += (unsigned char)header[i];
  octal(header + 148, 7, (long)sum);
  put(header, BLOCK);
}

/* Writes a name that does not fit into its field, as GNU tar does. */
static void long_name(char type, const char *name) {
  long size = (long)strlen(name) + 1;
  block("././@LongLink", type, 0, size, 0, "");
  put(name, (size_t)size);
  pad(size);
}

static void member(char type, const struct stat *is, long size, const char *link) {
  if (++entries > ENTRIES_MAX) collect_finish("too-big", "more than 100000 files");
  if (strlen(path) >= NAME_FIELD) long_name('L', path);
  if (strlen(link) >= NAME_FIELD) long_name('K', link);
  block(path, type, is->st_mode, size, is->st_mtime, link);
}

static void content(int file, long size) {
  static char buffer[65536];
  for (long rest = size; rest > 0;) {
    ssize_t n = read(file, buffer, rest < (long)sizeof buffer ? (size_t)rest : sizeof buffer);
    if (n < 0) collect_finish("error", strerror(errno));
    if (n == 0) collect_finish("error", "a file became shorter while it was read");
    put(buffer, (size_t)n);
    rest -= n;
  }
  pad(size);
}

/* Writes the entry `name` of a directory; `path` ends with it. Of what is no file, directory or link, nothing is written. */
static void entry(int directory, const char *name, int depth) {
  struct stat is;
  size_t end = strlen(path);
  if (fstatat(directory, name, &is, AT_SYMLINK_NOFOLLOW)) collect_finish("error", strerror(errno));
  if (S_ISLNK(is.st_mode)) {
    ssize_t n = readlinkat(directory, name, target, sizeof target - 1);
    if (n < 0) collect_finish("error", strerror(errno));
    target[n] = 0;
    return member('2', &is, 0, target);
  }
  if (!S_ISREG(is.st_mode) && !S_ISDIR(is.st_mode)) return;
  int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &is)) collect_finish("error", strerror(errno));
  if (S_ISREG(is.st_mode)) {
    if (is.st_size > left) collect_finish("too-big", "larger than allowed");
    member('0', &is, is.st_size, "");
    content(fd, is.st_size);
    close(fd);
    return;
  }
  if (depth >= DEPTH_MAX) collect_finish("error", "directories below it are too deep");
  member('5', &is, 0, "");
  DIR *listing = fdopendir(fd);
  if (!listing) collect_finish("error", strerror(errno));
  for (struct dirent *next; (errno = 0, next = readdir(listing));) {
    if (!strcmp(next->d_name, ".") || !strcmp(next->d_name, "..")) continue;
    if (end + 1 + strlen(next->d_name) > PATH_BYTES) collect_finish("error", "a path below it is too long");
    path[end] = '/';
    strcpy(path + end + 1, next->d_name);
    entry(fd, next->d_name, depth + 1);
    path[end] = 0;
  }
  if (errno) collect_finish("error", strerror(errno));
  closedir(listing);
}

void archive_send(const char *from, long largest, int to) {
  struct stat is;
  static const char end[2 * BLOCK];
  out = to, left = largest;
  if (strlen(from) > PATH_BYTES) collect_finish("error", strerror(ENAMETOOLONG));
  strcpy(path, from);
  char *slash = strrchr(path, '/');
  const char *name = slash ? slash + 1 : path;
  if (slash) *slash = 0;
  int directory = walk_open(slash ? path : "/", O_PATH | O_DIRECTORY, 0);
  if (slash) *slash = '/';
  if (directory < 0 || fstatat(directory, name, &is, AT_SYMLINK_NOFOLLOW))
    collect_finish(errno == ENOENT || errno == ENOTDIR ? "missing" : "error", strerror(errno));
  if (!S_ISREG(is.st_mode) && !S_ISDIR(is.st_mode)) collect_finish("irregular", "neither a regular file nor a directory");
  entry(directory, name, 0);
  put(end, sizeof end);
}
