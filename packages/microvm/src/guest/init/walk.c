#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int walk_open(const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
  return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

int walk_make(const char *path, int is_file, int *made) {
  char part[PATH_MAX];
  *made = 0;
  if (strlen(path) >= sizeof part) return errno = ENAMETOOLONG, -1;
  int at = walk_open("/", O_PATH | O_DIRECTORY, 0);
  for (size_t start = strspn(path, "/"), end; at >= 0 && path[start]; start = end + strspn(path + end, "/")) {
    end = start + strcspn(path + start, "/");
    int file = is_file && !path[end];
    uint64_t flags = file ? O_PATH | O_NOFOLLOW : O_PATH | O_DIRECTORY;
    memcpy(part, path, end);
    part[end] = 0;
    int next = walk_open(part, flags, 0);
    if (next < 0 && errno == ENOENT) {
      if (file) close(openat(at, part + start, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
      else *made = !mkdirat(at, part + start, 0755);
      next = walk_open(part, flags, 0);
    }
    close(at);
    at = next;
  }
  return at;
}
