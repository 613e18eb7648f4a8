/* Walks argv[3] with argv[1] as the root, as argv[2] says: `open`, `file` or `directory`. Prints the place that the walk reached and
   whether its last part was made, or the error. */
#define _GNU_SOURCE
#include "../init.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char link[64], place[PATH_MAX] = "";
  int made = 0;
  if (argc != 4 || chdir(argv[1])) return 2;
  int fd = strcmp(argv[2], "open") ? walk_make(argv[3], !strcmp(argv[2], "file"), &made) : walk_open(argv[3], O_PATH, 0);
  if (fd < 0) return puts(strerrorname_np(errno)), 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (readlink(link, place, sizeof place - 1) < 0) return 2;
  printf("%s%s\n", place, made ? " made" : "");
  return 0;
}
