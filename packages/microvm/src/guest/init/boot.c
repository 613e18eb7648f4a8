#define _GNU_SOURCE
/* Boots from the kernel's first process to open ports: loads modules, moves to a root that pivot_root can leave, mounts. */
#include "init.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "fumehood-init: ");
  vfprintf(stderr, format, args);
  fprintf(stderr, "\n");
  va_end(args);
  reboot(RB_AUTOBOOT); /* the VMM runs with -no-reboot, so this ends it */
  for (;;) pause();
}

static void mount_or_die(const char *type, const char *target, unsigned long flags, const char *data) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data)) die("mount %s: %s", target, strerror(errno));
}

/* Loads the modules in the order of the list, in which each module follows its dependencies. */
static void load_modules(void) {
  FILE *list = fopen("/modules/order", "re");
  char name[128];
  if (!list) die("the list of modules is missing");
  while (fgets(name, sizeof name, list)) {
    name[strcspn(name, "\n")] = 0;
    char path[160];
    snprintf(path, sizeof path, "/modules/%s", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || syscall(SYS_finit_module, file, "", 0)) die("module %s: %s", name, strerror(errno));
    close(file);
  }
  fclose(list);
}

/* The kernel refuses pivot_root on its first root, so init moves to a tmpfs that holds this program alone, and executes itself again. */
static void leave_rootfs(char *self) {
  mount_or_die("tmpfs", "/root-of-init", MS_NOSUID, "mode=755,size=8m");
  int from = open(self, O_RDONLY | O_CLOEXEC), to = open("/root-of-init/init", O_CREAT | O_WRONLY | O_CLOEXEC, 0700);
  char buffer[65536];
  ssize_t n;
  while (from >= 0 && (n = read(from, buffer, sizeof buffer)) > 0)
    if (write(to, buffer, (size_t)n) != n) die("copy init: %s", strerror(errno));
  close(to);
  unlink(self); /* frees the memory of the first copy */
  if (chdir("/root-of-init") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/")) die("leave rootfs: %s", strerror(errno));
  execl("/init", "init", "second", NULL);
  die("exec init: %s", strerror(errno));
}

static void write_file(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, text, strlen(text)) < 0) die("write %s: %s", path, strerror(errno));
  close(file);
}

static void interface_up(int s, const char *name) {
  struct ifreq request = {0};
  strcpy(request.ifr_name, name);
  if (ioctl(s, SIOCGIFFLAGS, &request)) die("%s: %s", name, strerror(errno));
  request.ifr_flags |= IFF_UP;
  if (ioctl(s, SIOCSIFFLAGS, &request)) die("%s: %s", name, strerror(errno));
}

static struct sockaddr address_of(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  struct sockaddr any;
  inet_pton(AF_INET, text, &address.sin_addr);
  memcpy(&any, &address, sizeof any);
  return any;
}

/* A guest with a network interface has one address, and sends everything to the host's end of it. The host knows the same addresses. */
static void network_up(void) {
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) die("socket: %s", strerror(errno));
  interface_up(s, "lo");
  if (if_nametoindex("eth0")) {
    write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    struct ifreq address = {.ifr_name = "eth0", .ifr_addr = address_of("172.31.0.2")};
    struct ifreq netmask = {.ifr_name = "eth0", .ifr_netmask = address_of("255.255.255.252")};
    struct rtentry route = {.rt_dst = address_of("0.0.0.0"),
                            .rt_genmask = address_of("0.0.0.0"),
                            .rt_gateway = address_of("172.31.0.1"),
                            .rt_flags = RTF_UP | RTF_GATEWAY};
    if (ioctl(s, SIOCSIFADDR, &address) || ioctl(s, SIOCSIFNETMASK, &netmask)) die("the address: %s", strerror(errno));
    interface_up(s, "eth0");
    if (ioctl(s, SIOCADDRT, &route)) die("the route: %s", strerror(errno));
  }
  close(s);
}

void boot(int argc, char **argv) {
  if (argc < 2 || strcmp(argv[1], "second")) {
    mount_or_die("proc", "/proc", 0, NULL);
    load_modules();
    leave_rootfs(argv[0]);
  }
  mount_or_die("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_or_die("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_or_die("devtmpfs", "/dev", MS_NOSUID, "mode=755");
  mount_or_die("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  write_file("/sys/fs/cgroup/cgroup.subtree_control", "+cpu +memory +pids");
  /* In a user namespace a step would have every capability, and could lift its own limits through a mount of its cgroup. */
  write_file("/proc/sys/user/max_user_namespaces", "0");
  chmod("/init", 0); /* nobody executes init again, as an image could by the name /proc/self/exe */
  write_file("/proc/self/oom_score_adj", "-1000");
  mkdir("/mnt", 0755); /* a step attaches its root here before it pivots to it */
  network_up();
  ports_open();
}
