/* The root of a step: its mounts, as Docker makes them. No mount point is found by a path through another mount: what an image puts
   at /proc, /dev or /sys cannot move a mount or a mask. */
#define _GNU_SOURCE
#include "init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const device_names[] = {"null", "zero", "full", "random", "urandom", "tty"};
#define DEVICES (sizeof device_names / sizeof device_names[0])
#define HIDDEN (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* Returns a detached copy of a mount. `flags` are MOUNT_ATTR_*. */
static int clone_mount(int directory, const char *source, uint64_t flags) {
  int tree = open_tree(directory, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  struct mount_attr attributes = {.attr_set = flags};
  if (tree < 0 || (flags && mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes)))
    child_fail(126, "mount %s: %s", source, strerror(errno));
  return tree;
}

/* Returns a new, detached mount. `options` is a comma-separated list. */
static int new_mount(const char *type, unsigned flags, const char *options) {
  char text[128];
  int fs = fsopen(type, FSOPEN_CLOEXEC), failed = fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "source", type, 0);
  snprintf(text, sizeof text, "%s", options);
  for (char *option = strtok(text, ","); option && !failed; option = strtok(NULL, ",")) {
    char *value = strchr(option, '=');
    if (value) *value++ = 0;
    failed = fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option, value, 0);
  }
  failed = failed || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  int mount = failed ? -1 : fsmount(fs, FSMOUNT_CLOEXEC, flags);
  if (mount < 0) child_fail(126, "mount %s: %s", type, strerror(errno));
  close(fs);
  return mount;
}

/* Attaches a mount at an open file or directory, and closes the latter. */
static void attach(int mount, int target, const char *name) {
  if (target < 0 || move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
    child_fail(126, "mount at %s: %s", name, strerror(errno));
  close(target);
}

/* Mounts at a directory in the root of the image, which must not be a symbolic link: later paths of the same name have to lead there. */
static int mount_at_top(const char *name, int mount) {
  int made;
  close(walk_make(name, 0, &made));
  attach(mount, walk_open(name, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS), name);
  return mount;
}

/* Mounts at a name inside one of the mounts that init made. */
static void mount_inside(int directory, const char *name, int mount) {
  attach(mount, openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), name);
  close(mount);
}

/* Mounts /dev and returns its descriptor. */
static int mount_dev(const int *devices) {
  static const char *const links[][2] = {{"pts/ptmx", "ptmx"},          {"/proc/self/fd", "fd"},       {"/proc/self/fd/0", "stdin"},
                                         {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"}};
  int dev = mount_at_top("/dev", new_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME, "mode=755,size=65536k"));
  for (size_t i = 0; i < DEVICES; i++) {
    close(openat(dev, device_names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    mount_inside(dev, device_names[i], devices[i]);
  }
  mkdirat(dev, "pts", 0755), mkdirat(dev, "shm", 0755), mkdirat(dev, "mqueue", 0755);
  mount_inside(dev, "pts", new_mount("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
  mount_inside(dev, "shm", new_mount("tmpfs", HIDDEN, "mode=1777,size=65536k"));
  mount_inside(dev, "mqueue", new_mount("mqueue", HIDDEN, ""));
  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) (void)!symlinkat(links[i][0], dev, links[i][1]);
  return dev;
}

/* Hides a file or a directory, if there is one of this name. */
static void mask(int directory, const char *name, int dev) {
  struct stat is;
  if (fstatat(directory, name, &is, AT_SYMLINK_NOFOLLOW)) return;
  mount_inside(directory, name, S_ISDIR(is.st_mode) ? new_mount("tmpfs", HIDDEN | MOUNT_ATTR_RDONLY, "size=0k") : clone_mount(dev, "null", 0));
}

/* Hides what Docker hides, and makes everything else of /proc read-only that is not of a process, whatever the kernel has there. */
static void protect_proc(int proc, int dev) {
  static const char *const masked[] = {"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats"};
  DIR *all = fdopendir(openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!all) child_fail(126, "list /proc: %s", strerror(errno));
  for (struct dirent *entry; (entry = readdir(all));) {
    const char *name = entry->d_name;
    struct stat is;
    size_t i = 0;
    if (strchr(".0123456789", name[0]) || fstatat(proc, name, &is, AT_SYMLINK_NOFOLLOW)) continue;
    while (i < sizeof masked / sizeof masked[0] && strcmp(masked[i], name)) i++;
    if (i < sizeof masked / sizeof masked[0]) mask(proc, name, dev);
    else if (S_ISDIR(is.st_mode) || (S_ISREG(is.st_mode) && (is.st_mode & 0222)))
      mount_inside(proc, name, clone_mount(proc, name, HIDDEN | MOUNT_ATTR_RDONLY));
  }
  closedir(all);
}

void enter_root(const struct step *step) {
  int devices[DEVICES], binds[BINDS_MAX];
  char path[64];
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) child_fail(126, "private mounts: %s", strerror(errno));
  int root = clone_mount(AT_FDCWD, step->root, MOUNT_ATTR_NODEV);
  for (size_t i = 0; i < DEVICES; i++) {
    snprintf(path, sizeof path, "/dev/%s", device_names[i]);
    devices[i] = clone_mount(AT_FDCWD, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  }
  for (int i = 0; i < step->bindc; i++)
    binds[i] = clone_mount(AT_FDCWD, step->binds[i].source, MOUNT_ATTR_NODEV | (step->binds[i].readonly ? MOUNT_ATTR_RDONLY : 0));
  if (move_mount(root, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH) || close(root) || chdir("/mnt") || syscall(SYS_pivot_root, ".", ".") ||
      umount2(".", MNT_DETACH) || chdir("/"))
    child_fail(126, "root: %s", strerror(errno));
  int proc = mount_at_top("/proc", new_mount("proc", HIDDEN, "")), dev = mount_dev(devices);
  int sys = mount_at_top("/sys", new_mount("sysfs", HIDDEN | MOUNT_ATTR_RDONLY, ""));
  mount_inside(sys, "fs/cgroup", new_mount("cgroup2", HIDDEN | MOUNT_ATTR_RDONLY, ""));
  protect_proc(proc, dev);
  mask(sys, "firmware", dev);
  mask(sys, "devices/virtual/powercap", dev);
  close(proc), close(dev), close(sys);
  for (int i = 0; i < step->bindc; i++) {
    const char *target = step->binds[i].target;
    struct stat is;
    int made;
    if (fstat(binds[i], &is)) child_fail(126, "bind %s: %s", step->binds[i].source, strerror(errno));
    attach(binds[i], walk_make(target, !S_ISDIR(is.st_mode), &made), target);
    close(binds[i]);
  }
}
