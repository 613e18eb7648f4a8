/*
 * Makes the network of one VM, and runs a command in it: a network namespace with a tap and no route out of it.
 *
 *   network (--tap FD | --owner UID) --channel FD --nft PATH --device NAME -- COMMAND…
 *   network --holders NAMESPACE PID…
 *
 * The second form prints how many descriptors of these processes are sockets or taps of the network namespace with this inode number.
 *
 * The namespace has one interface besides its loopback: the tap NAME. With --tap the command gets its other end as descriptor FD, and runs in
 * the network namespace from which this program was started. With --owner it runs in the namespace of the tap, where this user can open it by
 * its name, and no other. The tap stays when nobody has it open, and ends with its namespace: nobody has to wait for its removal. Every address of the
 * world is local there, so a listener accepts all TCP of the guest, to whichever address, as its socket's local address says. A second
 * socket takes the questions of DNS that the guest sends to its gateway. Both are handed to the parent, which is Node, over its IPC
 * channel, the descriptor of --channel. Everything else that the guest sends is dropped by the rules of gate.nft, which the program of --nft loads.
 *
 * Without root, and with --tap alone, the namespace belongs to a user namespace, in which this user has the privileges to make it.
 *
 * The wire format of the channel is Node's own (lib/internal/child_process.js): a line of JSON with the descriptor beside its first
 * byte, which Node acknowledges by a line before the next one is sent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/rtnetlink.h>
#include <linux/fib_rules.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define GATEWAY "172.31.0.1"
#define GUEST "172.31.0.2"
#define NETMASK "255.255.255.252"
#define LISTENER_PORT 15001 /* as in gate.nft */
#define TABLE 100           /* the routing table in which every address is local */
#define OWN_DESCRIPTORS 512
#define DESCRIPTOR_MAX 511
#define UID_MAX 4294967294L
#define PID_MAX 4194304L
#define ACK_MS 10000        /* how long the parent may take to acknowledge a descriptor */

static const unsigned char guest_mac[6] = {0x02, 0, 0, 0, 0, 0x02}; /* as in gate.nft, and as the VMM has it */

__attribute__((noreturn)) static void fail(const char *what) {
  fprintf(stderr, "network: %s: %s\n", what, strerror(errno));
  exit(125);
}

static void set(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail(path);
  close(fd);
}

/* Before the tap exists: a router advertisement of the guest would otherwise give the namespace a route through the guest. */
static void set_kernel(void) {
  set("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
  set("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  set("/proc/sys/net/ipv4/ip_forward", "0");
  set("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
  set("/proc/sys/net/ipv4/conf/default/rp_filter", "0");
  set("/proc/sys/net/ipv4/conf/all/arp_ignore", "1");
  set("/proc/sys/net/ipv4/conf/all/accept_redirects", "0");
  set("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
  /* The name server has port 53, and nobody but the host binds one here. */
  set("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  /* A connection that its process has ended would keep the namespace for minutes while it waits for a guest that is gone. */
  set("/proc/sys/net/ipv4/tcp_orphan_retries", "2");
  /* A guest that reads nothing, or a server, holds this much of the host's memory for each connection. */
  set("/proc/sys/net/ipv4/tcp_wmem", "4096 65536 262144");
  set("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 524288");
}

static struct sockaddr_in address_of(const char *text, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

static void up(int control, const char *name) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(control, SIOCGIFFLAGS, &request)) fail("SIOCGIFFLAGS");
  request.ifr_flags |= IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &request)) fail("SIOCSIFFLAGS");
}

static void set_address(int control, const char *name, unsigned long what, const char *text) {
  struct ifreq request = {0};
  struct sockaddr_in address = address_of(text, 0);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  memcpy(&request.ifr_addr, &address, sizeof address);
  if (ioctl(control, what, &request)) fail("the address of the tap");
}

/* Makes the tap and returns its descriptor. It has the header of virtio, which the VMM expects. */
static int make_tap(const char *name, long owner) {
  int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (tap < 0) fail("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(tap, TUNSETIFF, &request)) fail("TUNSETIFF");
  int header = 12;
  if (ioctl(tap, TUNSETVNETHDRSZ, &header)) fail("TUNSETVNETHDRSZ");
  if (ioctl(tap, TUNSETOWNER, owner) || ioctl(tap, TUNSETPERSIST, 1)) fail("TUNSETOWNER");
  return tap;
}

/* The guest's hardware address is known, and the rules drop its answers to questions for it. */
static void set_neighbour(int control, const char *name) {
  struct arpreq request = {.arp_flags = ATF_COM | ATF_PERM};
  struct sockaddr_in guest = address_of(GUEST, 0);
  memcpy(&request.arp_pa, &guest, sizeof guest);
  request.arp_ha.sa_family = ARPHRD_ETHER;
  memcpy(request.arp_ha.sa_data, guest_mac, sizeof guest_mac);
  strncpy(request.arp_dev, name, sizeof request.arp_dev - 1);
  if (ioctl(control, SIOCSARP, &request)) fail("SIOCSARP");
}

/* A request of rtnetlink, with its attributes. */
struct request {
  struct nlmsghdr header;
  union {
    struct rtmsg route;
    struct fib_rule_hdr rule;
  };
  char attributes[128];
};

static void add_attribute(struct request *request, int type, const void *value, size_t length) {
  struct rtattr *attribute = (void *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(length);
  memcpy(RTA_DATA(attribute), value, length);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static void ask_kernel(int netlink, struct request *request, const char *what) {
  char answer[1024];
  request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  if (send(netlink, request, request->header.nlmsg_len, 0) < 0) fail(what);
  ssize_t length = recv(netlink, answer, sizeof answer, 0);
  struct nlmsghdr *header = (void *)answer;
  if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || header->nlmsg_type != NLMSG_ERROR) errno = EPROTO, fail(what);
  errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
  if (errno) fail(what);
}

/* What arrives at the tap is routed by a table in which every address is local: nothing is ever forwarded. */
static void make_all_local(const char *name) {
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) fail("AF_NETLINK");
  int loopback = if_nametoindex("lo");
  struct request route = {
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)), .nlmsg_type = RTM_NEWROUTE},
      .route = {.rtm_family = AF_INET, .rtm_table = TABLE, .rtm_protocol = RTPROT_STATIC, .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL},
  };
  add_attribute(&route, RTA_OIF, &loopback, sizeof loopback);
  ask_kernel(netlink, &route, "the route");
  struct request rule = {
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct fib_rule_hdr)), .nlmsg_type = RTM_NEWRULE},
      .rule = {.family = AF_INET, .table = TABLE, .action = FR_ACT_TO_TBL},
  };
  add_attribute(&rule, FRA_IIFNAME, name, strlen(name) + 1);
  ask_kernel(netlink, &rule, "the rule");
  close(netlink);
}

/* The text of gate.nft. */
extern const char gate[], gate_end[];
__asm__(".section .rodata\ngate: .incbin \"gate.nft\"\ngate_end: .byte 0\n.previous");

/* Loads the rules, by a program that knows their language, before the tap is up. */
static void load_rules(const char *program) {
  int rules[2]; /* the text is smaller than a pipe's buffer */
  if (pipe2(rules, O_CLOEXEC) || write(rules[1], gate, (size_t)(gate_end - gate)) != gate_end - gate) fail("the rules");
  close(rules[1]);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    if (dup2(rules[0], 0) < 0) fail("the rules");
    char *const environment[] = {NULL};
    char *const arguments[] = {(char *)program, "-f", "-", NULL};
    execve(program, arguments, environment);
    fail(program);
  }
  close(rules[0]);
  int ended;
  if (waitpid(child, &ended, 0) != child || ended != 0) {
    errno = EINVAL;
    fail("the rules were not loaded");
  }
}

static int make_listener(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), yes = 1;
  struct sockaddr_in any = address_of("0.0.0.0", LISTENER_PORT);
  if (listener < 0 || setsockopt(listener, SOL_IP, IP_TRANSPARENT, &yes, sizeof yes) ||
      bind(listener, (void *)&any, sizeof any) || listen(listener, 1024))
    fail("the listener");
  return listener;
}

static int make_resolver(void) {
  int resolver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_in gateway = address_of(GATEWAY, 53);
  if (resolver < 0 || bind(resolver, (void *)&gateway, sizeof gateway)) fail("the socket of DNS");
  return resolver;
}

/* Sends a descriptor beside a text. */
static void send_descriptor(int to, const char *line, size_t length, int descriptor) {
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec text = {.iov_base = (void *)line, .iov_len = length};
  struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  struct pollfd wait = {.fd = to, .events = POLLOUT};
  if (poll(&wait, 1, ACK_MS) != 1 || sendmsg(to, &message, 0) != (ssize_t)length) fail("the channel");
}

/* Returns the descriptor that another process has sent, or -1. */
static int receive_descriptor(int from) {
  char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
  struct iovec text = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  int descriptor = -1;
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message))
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
  return descriptor;
}

/* Sends a descriptor to Node with its name and the namespace in which it was made, and waits until Node has it. */
static void hand_over(int channel, const char *type, const char *name, int descriptor) {
  char line[256];
  struct stat namespace;
  if (stat("/proc/self/ns/net", &namespace)) fail("the namespace");
  int length = snprintf(line, sizeof line,
                        "{\"cmd\":\"NODE_HANDLE\",\"type\":\"%s\",\"msg\":{\"name\":\"%s\",\"namespace\":%lu}}\n", type, name,
                        (unsigned long)namespace.st_ino);
  send_descriptor(channel, line, (size_t)length, descriptor);
  struct pollfd wait = {.fd = channel, .events = POLLIN};
  for (char byte = 0; byte != '\n';) {
    if (poll(&wait, 1, ACK_MS) != 1 || read(channel, &byte, 1) != 1) fail("the acknowledgement");
  }
  close(descriptor);
}

/* Makes the namespace and what is in it, hands the sockets over, and returns the tap. This process is in the namespace afterwards. */
static int make_network(const char *device, long owner, const char *nft, int channel) {
  if (unshare(CLONE_NEWNET)) fail("the namespace");
  set_kernel();
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) fail("socket");
  int tap = make_tap(device, owner);
  load_rules(nft);
  up(control, "lo");
  set_address(control, device, SIOCSIFADDR, GATEWAY);
  set_address(control, device, SIOCSIFNETMASK, NETMASK);
  up(control, device);
  set_neighbour(control, device);
  make_all_local(device);
  hand_over(channel, "net.Native", "connections", make_listener());
  hand_over(channel, "dgram.Native", "questions", make_resolver());
  return tap;
}

/* Enters a user namespace in which this user alone exists, as root, so that it keeps its privileges when it executes a program. */
static void enter_user_namespace(void) {
  char users[40], groups[40];
  snprintf(users, sizeof users, "0 %u 1", getuid());
  snprintf(groups, sizeof groups, "0 %u 1", getgid());
  if (unshare(CLONE_NEWUSER)) fail("a user namespace");
  set("/proc/self/uid_map", users);
  set("/proc/self/setgroups", "deny");
  set("/proc/self/gid_map", groups);
}

/* The same as make_network without root: by a child, because there is no way back from a user namespace. This process stays where it is. */
static int make_network_without_root(const char *device, const char *nft, int channel) {
  int pair[2], ended;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) fail("socketpair");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    enter_user_namespace();
    send_descriptor(pair[1], "t", 1, make_network(device, 0, nft, channel));
    _exit(0);
  }
  close(pair[1]);
  int tap = receive_descriptor(pair[0]);
  close(pair[0]);
  if (waitpid(child, &ended, 0) != child || ended != 0 || tap < 0) exit(125); /* the child has said why */
  return tap;
}

static long number(const char *text, long most) {
  char *end;
  long value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < 0 || value > most) errno = EINVAL, fail("an argument");
  return value;
}

/* Returns the inode number of the network namespace of a socket or a tap of another process, or 0. */
static unsigned long namespace_of(int process, int number, int is_tap) {
  struct stat facts = {0};
  int copy = (int)syscall(SYS_pidfd_getfd, process, number, 0), domain = 0; /* close-on-exec, as every descriptor here */
  /* The streams of a guest that dials belong to the namespace of its VMM, too. They end with whoever reads them. */
  if (!is_tap) getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &(socklen_t){sizeof domain});
  int namespace = copy < 0 || domain == AF_UNIX ? -1 : ioctl(copy, is_tap ? TUNGETDEVNETNS : SIOCGSKNS);
  if (namespace >= 0) {
    if (fstat(namespace, &facts)) fail("a namespace");
    close(namespace);
  }
  if (copy >= 0) close(copy);
  return facts.st_ino;
}

/* A namespace lives as long as a socket of it. A process or a descriptor that is gone holds nothing. */
static int count_holders(int count, char **pids, unsigned long wanted) {
  int held = 0;
  for (int at = 0; at < count; at++) {
    char path[40], target[64];
    long pid = number(pids[at], PID_MAX);
    int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    DIR *directory = process < 0 ? NULL : opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
      ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
      if (length < 0) continue;
      target[length] = '\0';
      int is_tap = strcmp(target, "/dev/net/tun") == 0;
      if (!is_tap && strncmp(target, "socket:", 7) != 0) continue;
      if (namespace_of(process, atoi(entry->d_name), is_tap) == wanted) held++;
    }
    if (directory) closedir(directory);
    if (process >= 0) close(process);
  }
  return held;
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "--holders") == 0) {
    printf("%d\n", count_holders(argc - 3, argv + 3, (unsigned long)number(argv[2], LONG_MAX)));
    return 0;
  }
  int tap_number = -1, channel = -1, at = 1;
  long owner = -1;
  const char *nft = NULL, *device = NULL;
  for (; at + 1 < argc && strcmp(argv[at], "--") != 0; at += 2) {
    const char *value = argv[at + 1];
    if (strcmp(argv[at], "--tap") == 0) tap_number = (int)number(value, DESCRIPTOR_MAX);
    else if (strcmp(argv[at], "--owner") == 0) owner = number(value, UID_MAX);
    else if (strcmp(argv[at], "--channel") == 0) channel = (int)number(value, DESCRIPTOR_MAX);
    else if (strcmp(argv[at], "--device") == 0) device = value;
    else if (strcmp(argv[at], "--nft") == 0) nft = value;
    else break;
  }
  int is_whole = at + 1 < argc && strcmp(argv[at], "--") == 0 && (tap_number < 0) != (owner < 0) && channel >= 0;
  if (!is_whole || !nft || !device || strlen(device) >= IFNAMSIZ) {
    fprintf(stderr, "network: an argument is missing or unknown\n");
    return 125;
  }
  if (geteuid() != 0 && owner >= 0) {
    fprintf(stderr, "network: without root a command cannot be in the namespace of its tap\n");
    return 125;
  }
  /* Above the numbers of the descriptors that the command inherits. */
  int outside = fcntl(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), F_DUPFD_CLOEXEC, OWN_DESCRIPTORS);
  if (outside < 0) fail("the namespace");
  int tap = geteuid() != 0 ? make_network_without_root(device, nft, channel)
                           : make_network(device, owner < 0 ? 0 : owner, nft, channel);
  close(channel);
  if (owner < 0) {
    /* The tap stays in its namespace, and keeps it there, as the sockets do that the parent has now. */
    if (geteuid() == 0 && setns(outside, CLONE_NEWNET)) fail("the namespace from which this program was started");
    if (dup2(tap, tap_number) < 0) fail("the tap");
  }
  char *const environment[] = {NULL}; /* Node's own variable names a channel that is closed */
  execve(argv[at + 1], argv + at + 1, environment);
  fail(argv[at + 1]);
}
