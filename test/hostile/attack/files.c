/* Looks for files of the kernel that the step can write, and for what the working directory leads to. */
#define _GNU_SOURCE
#include "attack.h"
#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int writable, looked_at;

static int try_file(const char *path, const struct stat *is, int type, struct FTW *at) {
  (void)at;
  if (type == FTW_D && !strncmp(path, "/proc/", 6) && isdigit(path[6])) return FTW_SKIP_SUBTREE; /* a process of the step */
  if (type != FTW_F || !S_ISREG(is->st_mode)) return FTW_CONTINUE; /* /dev/null hides some files */
  looked_at++;
  int file = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  /* Root can open any file of /proc for writing; those that take nothing refuse even no bytes. */
  ssize_t written = file < 0 ? -1 : write(file, "", 0);
  if (file >= 0) close(file);
  if (written < 0) return FTW_CONTINUE;
  char name[4200];
  snprintf(name, sizeof name, "write %s", path);
  say(name, "done");
  writable++;
  return FTW_CONTINUE;
}

void attack_files(void) {
  nftw("/proc", try_file, 32, FTW_PHYS | FTW_ACTIONRETVAL);
  nftw("/sys", try_file, 32, FTW_PHYS | FTW_ACTIONRETVAL);
  say("writable files", "%d", writable);
  say("files of the kernel", "%s", looked_at > 1000 ? "many" : "few");
}

void attack_from_here(void) {
  static const char *const targets[] = {"dev/vda", "init", "cgroup.procs", "memory.max"};
  char up[64] = "./", reached[256] = "none";
  for (int level = 0; level < 12; level++, strcat(up, "../"))
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
      char path[128];
      snprintf(path, sizeof path, "%s%s", up, targets[i]);
      if (open(path, i < 2 ? O_RDONLY : O_WRONLY) >= 0) strcpy(reached, path);
    }
  say("reached from here", "%s", reached);
}
