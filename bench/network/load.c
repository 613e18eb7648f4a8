/*
 * What the bench sends through a network, and what answers it. It is static, so that it also runs in a guest.
 *
 *   load serve ADDRESS NAMESERVER        answers on TCP 9001 (reads), 9002 (writes), 9003 (an answer of 1 KiB to each byte) and UDP 53; prints "ready"
 *   load connections ADDRESS COUNT       a connection, a byte, the answer, one after the other: prints the time of each, µs
 *   load requests ADDRESS MS             a byte and the answer, on 32 connections: prints how many in a second
 *   load up|down ADDRESS MS              one connection: prints MiB/s
 *   load names NAMESERVER COUNT          questions of DNS, one after the other: prints the time of each, µs
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <netinet/tcp.h>

#define SINK 9001
#define SOURCE 9002
#define ECHO 9003
#define ANSWER 1024
#define BLOCK 131072
#define CONNECTIONS 32

static char block[BLOCK];

__attribute__((noreturn)) static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) { /* µs */
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct sockaddr_in to(const char *address, int port) {
  struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, address, &target.sin_addr) != 1) fail(address);
  return target;
}

static int dial(const char *address, int port) {
  struct sockaddr_in target = to(address, port);
  int s = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  if (s < 0 || connect(s, (void *)&target, sizeof target)) fail("connect");
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return s;
}

static void read_answer(int s) {
  for (ssize_t got = 0, n; got < ANSWER; got += n)
    if ((n = read(s, block, (size_t)(ANSWER - got))) <= 0) fail("the answer");
}

static void *answer(void *argument) {
  int s = (int)(intptr_t)argument, yes = 1;
  struct sockaddr_in own;
  socklen_t length = sizeof own;
  getsockname(s, (void *)&own, &length);
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  switch (ntohs(own.sin_port)) {
  case SINK:
    while (read(s, (char[BLOCK]){0}, BLOCK) > 0) {}
    break;
  case SOURCE:
    while (write(s, block, BLOCK) > 0) {}
    break;
  default:
    for (char byte; read(s, &byte, 1) == 1 && write(s, block, ANSWER) == ANSWER;) {}
  }
  close(s);
  return NULL;
}

__attribute__((noreturn)) static void *accept_all(void *argument) {
  for (;;) {
    int s = accept((int)(intptr_t)argument, NULL, NULL);
    pthread_t thread;
    if (s < 0 || pthread_create(&thread, NULL, answer, (void *)(intptr_t)s)) continue;
    pthread_detach(thread);
  }
}

/* Answers each question of DNS with the same address. */
__attribute__((noreturn)) static void *answer_names(void *argument) {
  static const unsigned char record[16] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 9, 1, 0, 100};
  unsigned char message[512];
  for (;;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n = recvfrom((int)(intptr_t)argument, message, sizeof message - sizeof record, 0, (void *)&from, &length);
    if (n < 17) continue;
    ssize_t end = 12; /* of the question; what follows is left out */
    while (end < n && message[end] != 0) end += message[end] + 1;
    end += 5;
    if (end > n) continue;
    message[2] = 0x81, message[3] = 0x80, message[7] = 1;
    memset(message + 8, 0, 4);
    memcpy(message + end, record, sizeof record);
    sendto((int)(intptr_t)argument, message, (size_t)end + sizeof record, 0, (void *)&from, length);
  }
}

static void serve(const char *address, const char *name_server) {
  pthread_t thread;
  for (int port = SINK; port <= ECHO; port++) {
    struct sockaddr_in own = to(address, port);
    int s = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(s, (void *)&own, sizeof own) || listen(s, 1024)) fail("listen");
    if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)s)) fail("a thread");
  }
  struct sockaddr_in own = to(name_server, 53);
  int names = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(names, (void *)&own, sizeof own)) fail("bind");
  if (pthread_create(&thread, NULL, answer_names, (void *)(intptr_t)names)) fail("a thread");
  puts("ready");
  fflush(stdout);
  pause();
}

static void measure_connections(const char *address, int count) {
  for (int i = 0; i < count; i++) {
    double start = now();
    int s = dial(address, ECHO);
    if (write(s, "x", 1) != 1) fail("write");
    read_answer(s);
    printf("%.1f\n", now() - start);
    close(s);
  }
}

static void measure_requests(const char *address, int ms) {
  struct pollfd all[CONNECTIONS];
  int got[CONNECTIONS] = {0}, requests = 0;
  for (int i = 0; i < CONNECTIONS; i++) {
    all[i] = (struct pollfd){.fd = dial(address, ECHO), .events = POLLIN};
    if (write(all[i].fd, "x", 1) != 1) fail("write");
  }
  double start = now(), end = start + ms * 1e3;
  while (now() < end) {
    if (poll(all, CONNECTIONS, 1000) < 1) fail("poll");
    for (int i = 0; i < CONNECTIONS; i++) {
      if (!all[i].revents) continue;
      ssize_t n = read(all[i].fd, block, (size_t)(ANSWER - got[i]));
      if (n <= 0) fail("the answer");
      if ((got[i] += (int)n) < ANSWER) continue;
      got[i] = 0;
      requests++;
      if (write(all[i].fd, "x", 1) != 1) fail("write");
    }
  }
  printf("%.1f\n", requests / (now() - start) * 1e6);
}

static void measure_throughput(const char *address, int ms, int up) {
  int s = dial(address, up ? SINK : SOURCE);
  double start = now(), end = start + ms * 1e3, bytes = 0;
  while (now() < end) {
    ssize_t n = up ? write(s, block, BLOCK) : read(s, block, BLOCK);
    if (n <= 0) fail("the stream");
    bytes += (double)n;
  }
  printf("%.1f\n", bytes / 1048576 / (now() - start) * 1e6);
}

static void measure_names(const char *name_server, int count) {
  static const unsigned char question[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\5bench\4test\0\0\1\0\1";
  struct sockaddr_in target = to(name_server, 53);
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  struct timeval patience = {.tv_sec = 5};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(s, (void *)&target, sizeof target)) fail("connect");
  for (int i = 0; i < count; i++) {
    double start = now();
    if (write(s, question, sizeof question - 1) < 0 || read(s, block, sizeof block) < 12) fail("the name server");
    printf("%.1f\n", now() - start);
  }
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc != 4) return 2;
  const char *what = argv[1], *address = argv[2];
  int number = atoi(argv[3]);
  if (strcmp(what, "serve") == 0) serve(address, argv[3]);
  else if (strcmp(what, "connections") == 0) measure_connections(address, number);
  else if (strcmp(what, "requests") == 0) measure_requests(address, number);
  else if (strcmp(what, "names") == 0) measure_names(address, number);
  else measure_throughput(address, number, strcmp(what, "up") == 0);
  return 0;
}
