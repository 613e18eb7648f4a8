/*
 * Tries from the network namespace of a tap what a VMM could that a guest has taken over. Each argument is one attempt; prints a line for
 * each: the argument, and "ok" or why not.
 *
 *   tap NAME   tcp ADDRESS:PORT   raw   abstract NAME
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int try_tap(const char *name) {
  int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return tap < 0 ? -1 : ioctl(tap, TUNSETIFF, &request);
}

static int try_tcp(const char *text) {
  char address[64];
  int port;
  if (sscanf(text, "%63[^:]:%d", address, &port) != 2) return -1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int tcp = socket(AF_INET, SOCK_STREAM, 0);
  return tcp < 0 ? -1 : connect(tcp, (void *)&to, sizeof to);
}

static int try_abstract(const char *name) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path + 1, name, sizeof to.sun_path - 2);
  int unix_socket = socket(AF_UNIX, SOCK_STREAM, 0);
  return unix_socket < 0 ? -1 : connect(unix_socket, (void *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name)));
}

int main(int argc, char **argv) {
  for (int at = 1; at < argc; at++) {
    char what[16], value[80] = "";
    if (sscanf(argv[at], "%15s %79s", what, value) < 1) return 1;
    errno = 0;
    int done = !strcmp(what, "tap") ? try_tap(value)
             : !strcmp(what, "tcp") ? try_tcp(value)
             : !strcmp(what, "raw") ? socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))
                                    : try_abstract(value);
    printf("%s: %s\n", argv[at], done < 0 ? strerror(errno) : "ok");
  }
  return 0;
}
