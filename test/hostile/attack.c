/*
 * Attacks init, its channel and the VM's disks from a step. Prints one line per attempt: its name, a tab, and `done` or the error. The
 * program is linked statically and runs as root in the step.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

static void report(const char *name, long result) {
  printf("%s\t%s\n", name, result >= 0 ? "done" : strerrorname_np(errno));
}

/* Makes a device node for every device of a class in /sys, in every writable directory, and opens it. */
static void open_devices(const char *class, mode_t kind) {
  static const char *const places[] = {"/", "/dev/", "/dev/shm/", "/tmp/"};
  DIR *all = opendir(class);
  if (!all) return report(class, -1);
  for (struct dirent *entry; (entry = readdir(all));) {
    char path[512], text[32] = "";
    unsigned major, minor;
    snprintf(path, sizeof path, "%s/%s/dev", class, entry->d_name);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    if (fgets(text, sizeof text, file) && sscanf(text, "%u:%u", &major, &minor) == 2) {
      for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char node[300], name[320];
        mkdir("/tmp", 0777);
        snprintf(node, sizeof node, "%snode-%s", places[i], entry->d_name);
        snprintf(name, sizeof name, "open %s", node);
        unlink(node);
        if (mknod(node, kind | 0600, makedev(major, minor))) report(name, -1);
        else report(name, open(node, kind == S_IFBLK ? O_RDONLY : O_RDWR | O_NONBLOCK));
      }
    }
    fclose(file);
  }
  closedir(all);
}

/* Makes the same system call through the entry of 32-bit programs. */
static long socket32(long family) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(359L), "b"(family), "c"((long)SOCK_STREAM), "d"(0L) : "memory");
  if (result < 0) errno = (int)-result, result = -1;
  return result;
}

static void vsock(void) {
  report("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  report("vsock x32", syscall(0x40000000 | SYS_socket, AF_VSOCK, SOCK_STREAM, 0));
  report("vsock i386", socket32(AF_VSOCK));
  report("unix", socket(AF_UNIX, SOCK_STREAM, 0));
}

/* Attacks the VM's first process. */
static void first_process(void) {
  char path[64], name[64] = "", word[8] = "";
  int file = open("/proc/1/comm", O_RDONLY);
  if (file >= 0 && read(file, name, sizeof name - 1) > 0) name[strcspn(name, "\n")] = 0;
  printf("process 1\t%s\n", name);
  if (strcmp(name, "init")) return;
  report("descriptors of init", readlink("/proc/1/fd/0", path, sizeof path));
  unsigned long start = 0;
  FILE *maps = fopen("/proc/1/maps", "r");
  if (!maps || fscanf(maps, "%lx", &start) != 1) return report("memory of init", -1);
  struct iovec to = {word, sizeof word}, from = {(void *)(uintptr_t)start, sizeof word};
  report("memory of init", process_vm_readv(1, &to, 1, &from, 1, 0));
}

static void privileges(void) {
  report("mount", mount("none", "/", "tmpfs", 0, NULL));
  report("pivot_root", syscall(SYS_pivot_root, "/", "/"));
  report("kexec_load", syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL));
  report("init_module", syscall(SYS_init_module, "", 0UL, ""));
  report("bpf", syscall(SYS_bpf, 5, NULL, 0));
  report("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
  report("keyctl", syscall(SYS_keyctl, 0, -3, 1));
  report("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY));
  report("settimeofday", syscall(SYS_settimeofday, NULL, (long[]){0, 0}));
  report("write kernel.core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
  report("write sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY));
  report("write own cgroup", open("/sys/fs/cgroup/memory.max", O_WRONLY));
}

int main(void) {
  open_devices("/sys/class/virtio-ports", S_IFCHR);
  open_devices("/sys/class/block", S_IFBLK);
  vsock();
  first_process();
  privileges();
  return 0;
}
