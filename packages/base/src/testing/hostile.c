/*
 * Attacks of a hostile program, one in each run: `hostile ATTACK [ARGUMENT]`. It prints "done", or the name of the error with which
 * the attack was refused.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t bystander(void) {
  pid_t pid = fork();
  if (pid == 0)
    for (;;) pause();
  return pid;
}

/* Runs an attack in a process whose victim is its sibling, so that neither is the other's parent. */
static long on_sibling(long (*attack)(pid_t)) {
  pid_t victim = bystander(), attacker = fork();
  int status = 0;
  if (attacker == 0) _exit(attack(victim) < 0 ? errno : 0);
  waitpid(attacker, &status, 0);
  kill(victim, SIGKILL);
  waitpid(victim, NULL, 0);
  errno = WEXITSTATUS(status);
  return errno == 0 ? 0 : -1;
}

static char secret[] = "secret";

static long attach(pid_t victim) { return ptrace(PTRACE_ATTACH, victim, 0, 0); }

static long read_memory(pid_t victim) {
  char copy[sizeof secret];
  struct iovec mine = {copy, sizeof copy}, theirs = {secret, sizeof secret};
  return process_vm_readv(victim, &mine, 1, &theirs, 1, 0);
}

static long take_descriptor(pid_t victim) {
  int handle = syscall(SYS_pidfd_open, victim, 0);
  return handle < 0 ? -1 : syscall(SYS_pidfd_getfd, handle, 0, 0);
}

static long new_bpf_map(void) {
  union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

static long count_events(void) {
  struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .exclude_kernel = 1};
  return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long enter_namespace(const char *path) {
  int namespace = open(path, O_RDONLY);
  return namespace < 0 ? -1 : setns(namespace, 0);
}

static long clone_into_user_namespace(void) {
  pid_t pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) _exit(0);
  return pid < 0 ? -1 : waitpid(pid, NULL, 0);
}

static long mount_over(const char *directory) {
  return mount("none", directory, "tmpfs", 0, NULL) < 0 ? -1 : umount(directory);
}

static long submit_by_ring(void) {
  char parameters[120] = {0}; /* struct io_uring_params */
  return syscall(SYS_io_uring_setup, 1, parameters);
}

static long connect_tcp(const char *port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to);
}

static long connect_abstract(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to,
                 offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static long read_file(const char *path) {
  char byte;
  int file = open(path, O_RDONLY);
  return file < 0 ? -1 : read(file, &byte, 1);
}

static long write_file(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT, 0666);
  return file < 0 ? -1 : write(file, "x", 1);
}

static long grow_file(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT, 0666);
  signal(SIGXFSZ, SIG_IGN);
  return file < 0 ? -1 : pwrite(file, "x", 1, 1 << 20);
}

static long fill(const char *directory) {
  int file = open(directory, O_TMPFILE | O_WRONLY, 0600);
  return file < 0 ? -1 : fallocate(file, 0, 0, 300 << 20);
}

static long take_memory(void) {
  return mmap(NULL, 1UL << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long open_many(void) {
  for (int count = 0; count < 200; count++)
    if (open("/dev/null", O_RDONLY) < 0) return -1;
  return 0;
}

static long fork_many(void) {
  pid_t made[200];
  int count = 0, why = 0;
  while (count < 200 && why == 0)
    if ((made[count] = bystander()) < 0) why = errno;
    else count++;
  while (count > 0) kill(made[--count], SIGKILL);
  while (wait(NULL) > 0) continue;
  errno = why;
  return why == 0 ? 0 : -1;
}

static long dump_core(void) {
  struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
  return setrlimit(RLIMIT_CORE, &all);
}

static long call_as_i386(void) {
#ifdef __x86_64__
  long number = 20; /* getpid */
  __asm__ volatile("int $0x80" : "+a"(number)::"memory");
  return number;
#else
  errno = ENOSYS;
  return -1;
#endif
}

/* Leaves a daemon: a process whose parent has exited, in a session of its own, without our streams. */
static long leave_daemon(void) {
  if (fork() != 0) return 0;
  setsid();
  if (fork() != 0) _exit(0);
  for (int descriptor = 0; descriptor < 3; descriptor++) close(descriptor);
  for (;;) pause();
}

static long wait_for_ever(void) {
  puts("ready");
  fflush(stdout);
  return pause();
}

static long list(const char *directory) {
  DIR *listing = opendir(directory);
  struct dirent *entry;
  if (!listing) return -1;
  while ((entry = readdir(listing)))
    if (entry->d_name[0] != '.') puts(entry->d_name);
  return 0;
}

static long run(const char *attack, const char *argument) {
#define IS(name) (strcmp(attack, name) == 0)
  if (IS("attach")) return on_sibling(attach);
  if (IS("read-memory")) return on_sibling(read_memory);
  if (IS("take-descriptor")) return on_sibling(take_descriptor);
  if (IS("add-key")) return syscall(SYS_add_key, "user", "hostile", "x", 1, KEY_SPEC_PROCESS_KEYRING);
  if (IS("keyctl")) return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
  if (IS("unshare-user")) return unshare(CLONE_NEWUSER);
  if (IS("unshare-net")) return unshare(CLONE_NEWNET);
  if (IS("unshare-mount")) return unshare(CLONE_NEWNS);
  if (IS("clone-user")) return clone_into_user_namespace();
  if (IS("setns")) return enter_namespace("/proc/self/ns/net");
  if (IS("mount")) return mount_over(argument);
  if (IS("chroot")) return chroot("/usr");
  if (IS("bpf")) return new_bpf_map();
  if (IS("perf")) return count_events();
  if (IS("io-uring")) return submit_by_ring();
  if (IS("userfaultfd")) return syscall(SYS_userfaultfd, 1 /* user mode only */);
  if (IS("personality")) return syscall(SYS_personality, 0x0040000 /* ADDR_NO_RANDOMIZE */);
  if (IS("raw")) return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (IS("packet")) return socket(AF_PACKET, SOCK_RAW, 0);
  if (IS("packet-of-inet")) return socket(AF_INET, SOCK_PACKET, 0);
  if (IS("inet")) return socket(AF_INET, SOCK_STREAM, 0);
  if (IS("netlink")) return socket(AF_NETLINK, SOCK_RAW, 0);
  if (IS("i386")) return call_as_i386();
  if (IS("tcp")) return connect_tcp(argument);
  if (IS("abstract")) return connect_abstract(argument);
  if (IS("read")) return read_file(argument);
  if (IS("write")) return write_file(argument);
  if (IS("signal")) return kill(atoi(argument), SIGCONT);
  if (IS("grow")) return grow_file(argument);
  if (IS("fill")) return fill(argument);
  if (IS("memory")) return take_memory();
  if (IS("files")) return open_many();
  if (IS("processes")) return fork_many();
  if (IS("core")) return dump_core();
  if (IS("daemon")) return leave_daemon();
  if (IS("wait")) return wait_for_ever();
  if (IS("list")) return list(argument);
  fprintf(stderr, "there is no attack %s\n", attack);
  exit(2);
}

int main(int count, char **argv) {
  if (count < 2) return 2;
  puts(run(argv[1], argv[2]) < 0 ? strerrorname_np(errno) : "done");
  return 0;
}
