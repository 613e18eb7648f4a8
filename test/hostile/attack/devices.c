#define _GNU_SOURCE
#include "attack.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Makes a node of this device in a directory and opens it. */
static void open_node(const char *directory, const char *device, mode_t kind, dev_t number) {
  char node[600], name[700];
  snprintf(node, sizeof node, "%s/node-%s", directory, device);
  snprintf(name, sizeof name, "open %s", node);
  unlink(node);
  if (mknod(node, kind | 0600, number)) return report(name, -1);
  int file = open(node, kind == S_IFBLK ? O_RDONLY : O_RDWR | O_NONBLOCK);
  report(name, file);
  if (file >= 0) close(file);
  unlink(node);
}

/* Attacks every device of a class in /sys, in every mount of the step and in a directory of its root. */
static void open_class(const char *class, mode_t kind) {
  DIR *all = opendir(class);
  if (!all) return report(class, -1);
  for (struct dirent *entry; (entry = readdir(all));) {
    char path[512], line[1024], place[256];
    unsigned major, minor;
    snprintf(path, sizeof path, "%s/%s/dev", class, entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    int found = fscanf(file, "%u:%u", &major, &minor) == 2;
    fclose(file);
    FILE *mounts = found ? fopen("/proc/self/mountinfo", "r") : NULL;
    if (!mounts) continue;
    while (fgets(line, sizeof line, mounts))
      if (sscanf(line, "%*s %*s %*s %*s %255s", place) == 1) open_node(place, entry->d_name, kind, makedev(major, minor));
    fclose(mounts);
    mkdir("/tmp", 0777);
    open_node("/tmp", entry->d_name, kind, makedev(major, minor));
  }
  closedir(all);
}

void attack_devices(void) {
  open_class("/sys/class/virtio-ports", S_IFCHR);
  open_class("/sys/class/block", S_IFBLK);
}
