#define _GNU_SOURCE
#include "attack.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void attack_privileges(void) {
  report("mount", mount("none", "/", "tmpfs", 0, NULL));
  report("mount proc", mount("proc", "/", "proc", 0, "hidepid=0"));
  report("pivot_root", syscall(SYS_pivot_root, "/", "/"));
  report("kexec_load", syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL));
  report("init_module", syscall(SYS_init_module, "", 0UL, ""));
  report("bpf", syscall(SYS_bpf, 5, NULL, 0));
  report("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL));
  report("keyctl", syscall(SYS_keyctl, 0, -3, 1));
  report("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, O_RDONLY));
  report("settimeofday", syscall(SYS_settimeofday, NULL, (long[]){0, 0}));
  report("unshare mounts", unshare(CLONE_NEWNS));
  report("raise priority", setpriority(PRIO_PROCESS, 0, -20));
  report("real-time priority", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 99}));
  report("write kernel.core_pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
  report("write sysrq-trigger", open("/proc/sysrq-trigger", O_WRONLY));
  report("write own cgroup", open("/sys/fs/cgroup/memory.max", O_WRONLY));
}

/* Becomes root of a user namespace of its own, mounts its cgroup there, and lifts the memory limit. */
static long lift_limit(void) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP)) return -1;
  int map = open("/proc/self/uid_map", O_WRONLY);
  if (map < 0 || write(map, "0 0 1", 5) != 5) return -1;
  mkdir("/tmp", 0777);
  if (mount("cgroup2", "/tmp", "cgroup2", 0, NULL)) return -1;
  int limit = open("/tmp/memory.max", O_WRONLY);
  return limit < 0 ? -1 : write(limit, "max", 3);
}

void attack_user_namespace(void) { report_child("limit through a user namespace", lift_limit); }
