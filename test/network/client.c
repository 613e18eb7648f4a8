/*
 * What a guest tries on its network. It is static, and asks no resolver of a C library: each command prints one line.
 *
 *   client name NAME            asks the gateway for the address of a name
 *   client tcp ADDRESS PORT     connects, sends "hello", and prints what comes back
 *   client udp ADDRESS PORT     sends a question of DNS, and waits for anything
 *   client ping ADDRESS         sends an echo request
 *   client flood ADDRESS PORT COUNT   connects over and over, and says how many connections ended and how many got no answer in 5 s
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 1500

static struct sockaddr_in to(const char *address, int port) {
  struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, address, &target.sin_addr) != 1) exit(2);
  return target;
}

static ssize_t answer(int s, unsigned char *buffer, size_t size) {
  struct pollfd wait = {.fd = s, .events = POLLIN};
  return poll(&wait, 1, WAIT_MS) == 1 ? recv(s, buffer, size, 0) : -2;
}

static size_t question(const char *name, unsigned char *out) {
  static const unsigned char header[12] = {0x12, 0x34, 1, 0, 0, 1};
  memcpy(out, header, sizeof header);
  size_t at = sizeof header;
  char copy[256];
  snprintf(copy, sizeof copy, "%s", name);
  for (char *label = strtok(copy, "."); label; label = strtok(NULL, ".")) {
    out[at++] = (unsigned char)strlen(label);
    memcpy(out + at, label, strlen(label));
    at += strlen(label);
  }
  static const unsigned char end[5] = {0, 0, 1, 0, 1};
  memcpy(out + at, end, sizeof end);
  return at + sizeof end;
}

/* Begins connections, at most so many at the same time as one poll takes, until each was ended by the other side. */
static void flood(const char *address, int port, int count) {
  enum { TOGETHER = 100, SILENCE_MS = 5000 };
  struct sockaddr_in target = to(address, port);
  struct pollfd open[TOGETHER];
  int begun = 0, held = 0, ended = 0;
  char buffer[64];
  while (ended < count) {
    for (; held < TOGETHER && begun < count; begun++) {
      int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      if (s < 0) break;
      if (connect(s, (void *)&target, sizeof target) < 0 && errno != EINPROGRESS) close(s), ended++;
      else open[held++] = (struct pollfd){.fd = s, .events = POLLIN};
    }
    if (held > 0 && poll(open, (nfds_t)held, SILENCE_MS) <= 0) break;
    for (int at = held - 1; at >= 0; at--) {
      if (open[at].revents == 0 || recv(open[at].fd, buffer, sizeof buffer, 0) > 0) continue;
      close(open[at].fd), ended++;
      open[at] = open[--held];
    }
  }
  printf("flood %s:%d: ended %d, silent %d\n", address, port, ended, count - ended);
}

int main(int argc, char **argv) {
  unsigned char buffer[2048];
  if (argc < 3) return 2;
  if (argc > 4 && strcmp(argv[1], "flood") == 0) return flood(argv[2], atoi(argv[3]), atoi(argv[4])), 0;
  const char *what = argv[1], *address = argv[2];
  int port = argc > 3 ? atoi(argv[3]) : 53;
  int is_tcp = !strcmp(what, "tcp"), is_name = !strcmp(what, "name"), is_ping = !strcmp(what, "ping");
  int s = is_ping ? socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) : socket(AF_INET, is_tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
  struct sockaddr_in target = to(is_name ? "172.31.0.1" : address, port);
  printf("%s %s", what, address);
  if (argc > 3) printf(":%d", port);
  printf(": ");
  if (s < 0 || connect(s, (void *)&target, sizeof target)) {
    printf("%s\n", strerror(errno));
    return 0;
  }
  size_t length = question(is_name ? address : "a.test", buffer);
  if (is_tcp) length = (size_t)snprintf((char *)buffer, sizeof buffer, "hello");
  if (is_ping) {
    static const unsigned char echo[8] = {8, 0, 0xf7, 0xff};
    memcpy(buffer, echo, length = sizeof echo);
  }
  if (send(s, buffer, length, MSG_NOSIGNAL) < 0) printf("%s\n", strerror(errno));
  else {
    ssize_t n = answer(s, buffer, sizeof buffer - 1);
    if (n == -2) printf("silence\n");
    else if (n < 0) printf("%s\n", strerror(errno));
    else if (is_name && n > 7 && (buffer[3] & 15)) printf("rcode %d\n", buffer[3] & 15);
    else if (is_name) printf("%d.%d.%d.%d\n", buffer[n - 4], buffer[n - 3], buffer[n - 2], buffer[n - 1]);
    else printf("answer %.*s\n", is_tcp ? (int)n : 0, buffer);
  }
  return 0;
}
