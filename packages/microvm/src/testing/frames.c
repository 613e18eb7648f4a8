/*
 * Sends what a guest may not send, one kind after the other, as raw frames. Prints a line for each kind: its name, how many packets reached IP on
 * the other side (or "-" when this is not seen from here), and what came back.
 *
 *   frames tap NAME [KIND…]       opens the tap of this network namespace, as the VMM does, and sees the other side
 *   frames packet NAME [KIND…]    a packet socket of the guest on its interface
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define VIRTIO_HEADER 12
#define WAIT_MS 60

enum { ICMP = 1, TCP = 6, UDP = 17, GRE = 47, ICMP6 = 58 };
enum { SYN = 2, ARP_REQUEST = 1, ARP_ANSWER = 2, ECHO = 8, REDIRECT = 5 };

static const uint8_t own[6] = {2, 0, 0, 0, 0, 2}, everybody[6] = {255, 255, 255, 255, 255, 255}, nobody[6];
static const uint8_t foreign[6] = {2, 0, 0, 0, 0, 0xaa}, all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
static uint8_t gateway[6];
static const char *const guest = "172.31.0.2", *const router = "172.31.0.1", *const far = "198.51.100.7";

/* A frame that is being made, and the port of the last connection that was begun. */
static uint8_t frame[2048];
static size_t length;
static unsigned own_port;

static void put(const void *bytes, size_t count) {
  memcpy(frame + length, bytes, count);
  length += count;
}
static void put8(unsigned value) { frame[length++] = (uint8_t)value; }
static void put16(unsigned value) { put8(value >> 8), put8(value & 255); }
static void put32(uint32_t value) { put16(value >> 16), put16(value & 65535); }
static void put_address(const char *text) {
  uint32_t address = inet_addr(text);
  put(&address, 4);
}
static void set16(size_t at, unsigned value) { frame[at] = (uint8_t)(value >> 8), frame[at + 1] = (uint8_t)value; }

static uint32_t sum(const uint8_t *bytes, size_t count) {
  uint32_t total = 0;
  for (size_t at = 0; at < count; at++) total += at % 2 ? bytes[at] : (uint32_t)bytes[at] << 8;
  return total;
}
static unsigned folded(uint32_t total) {
  while (total >> 16) total = (total & 65535) + (total >> 16);
  return ~total & 65535;
}

static void begin(const uint8_t *from, const uint8_t *to, unsigned type) {
  length = 0;
  put(to, 6), put(from, 6), put16(type);
}

/* An IPv4 header whose length and checksum `end_ip` sets. Returns where it begins. */
static size_t begin_ip(const char *from, const char *to, unsigned protocol, unsigned fragment) {
  size_t at = length;
  put8(0x45), put8(0), put16(0), put16(7), put16(fragment), put8(64), put8(protocol), put16(0);
  put_address(from), put_address(to);
  return at;
}
static void end_ip(size_t at) {
  set16(at + 2, (unsigned)(length - at));
  set16(at + 10, folded(sum(frame + at, (frame[at] & 15) * 4u)));
}

/* The checksum of TCP or UDP from `body` on, with the pseudo header of the IPv4 header at `at`. */
static void set_checksum(size_t at, size_t body, size_t field) {
  uint32_t total = sum(frame + at + 12, 8) + frame[at + 9] + (uint32_t)(length - body);
  set16(field, folded(total + sum(frame + body, length - body)));
}

static void put_syn(size_t at, unsigned port) {
  size_t body = length;
  own_port = port;
  put16(port), put16(80), put32(1000), put32(0), put8(0x50), put8(SYN), put16(65535), put16(0), put16(0);
  set_checksum(at, body, body + 16);
}
static void syn(const uint8_t *hardware, const char *from, const char *to, unsigned port) {
  begin(hardware, gateway, ETH_P_IP);
  size_t at = begin_ip(from, to, TCP, 0);
  put_syn(at, port);
  end_ip(at);
}
static void udp(const char *to, unsigned port, unsigned from_port) {
  static const uint8_t question[] = "\0\11\1\0\0\1\0\0\0\0\0\0\1a\4test\0\0\1\0\1";
  begin(own, gateway, ETH_P_IP);
  size_t at = begin_ip(guest, to, UDP, 0), body = length;
  put16(from_port), put16(port), put16(8 + sizeof question - 1), put16(0), put(question, sizeof question - 1);
  set_checksum(at, body, body + 6);
  end_ip(at);
}
static void icmp(unsigned type) {
  begin(own, gateway, ETH_P_IP);
  size_t at = begin_ip(guest, router, ICMP, 0), body = length;
  put8(type), put8(1), put16(0), put_address(guest);
  if (type == ECHO) frame[body + 1] = 0;
  size_t inner = begin_ip(router, "8.8.8.8", TCP, 0);
  put32(0), put32(0), end_ip(inner);
  set16(body + 2, folded(sum(frame + body, length - body)));
  end_ip(at);
}
static void arp(unsigned what, const char *from, const char *to) {
  begin(own, what == ARP_REQUEST ? everybody : gateway, ETH_P_ARP);
  put16(1), put16(ETH_P_IP), put8(6), put8(4), put16(what), put(own, 6), put_address(from), put(nobody, 6), put_address(to);
}
/* A router that gives the prefix 2001:db8:bad::/64 and wants to be the default one. */
static void router_advertisement(void) {
  begin(own, all_nodes, ETH_P_IPV6);
  uint8_t from[16], to[16], prefix[16];
  inet_pton(AF_INET6, "fe80::ff:fe00:2", from), inet_pton(AF_INET6, "ff02::1", to);
  inet_pton(AF_INET6, "2001:db8:bad::", prefix);
  put32(6u << 28), put16(48), put8(ICMP6), put8(255), put(from, 16), put(to, 16);
  size_t body = length;
  put8(134), put8(0), put16(0), put8(64), put8(0), put16(1800), put32(0), put32(0);
  put8(3), put8(4), put8(64), put8(0xc0), put32(86400), put32(86400), put32(0), put(prefix, 16);
  uint32_t pseudo = sum(from, 16) + sum(to, 16) + (uint32_t)(length - body) + ICMP6;
  set16(body + 2, folded(pseudo + sum(frame + body, length - body)));
}

/* Makes the frame number `at` of a kind. Returns whether there is one. */
static int make(const char *kind, int at) {
#define IS(name) (strcmp(kind, name) == 0)
  if (IS("fragments") && at < 2) {
    uint8_t segment[20];
    syn(own, guest, far, 4002);
    memcpy(segment, frame + length - sizeof segment, sizeof segment);
    begin(own, gateway, ETH_P_IP);
    size_t header = begin_ip(guest, far, TCP, at == 0 ? 0x2000 : 1);
    put(segment + (at ? 8 : 0), at ? 12 : 8), end_ip(header);
    return 1;
  }
  if (IS("connection flood")) return at < 6000 ? syn(own, guest, far, 10000 + (unsigned)at), 1 : 0;
  if (IS("question flood")) return at < 2000 ? udp(router, 53, 10000 + (unsigned)at), 1 : 0;
  if (IS("ARP flood")) return at < 200 ? arp(ARP_REQUEST, guest, router), 1 : 0;
  if (at > 0) return 0;
  if (IS("honest connection")) syn(own, guest, far, 4000);
  else if (IS("honest question")) udp(router, 53, 4000);
  else if (IS("foreign hardware address")) syn(foreign, guest, far, 4001);
  else if (IS("spoofed source")) syn(own, "8.8.8.8", far, 4001);
  else if (IS("address of another guest")) syn(own, "172.31.0.3", far, 4001);
  else if (IS("loopback as destination")) syn(own, guest, "127.0.0.1", 4003);
  else if (IS("multicast as destination")) syn(own, guest, "224.0.0.1", 4003);
  else if (IS("echo request")) icmp(ECHO);
  else if (IS("ICMP redirect")) icmp(REDIRECT);
  else if (IS("foreign resolver")) udp("8.8.8.8", 53, 4005);
  else if (IS("UDP 443")) udp(far, 443, 4006);
  else if (IS("ARP for another address")) arp(ARP_REQUEST, guest, "8.8.8.8");
  else if (IS("ARP as the gateway")) arp(ARP_ANSWER, router, router);
  else if (IS("router advertisement")) router_advertisement();
  else if (IS("VLAN")) {
    syn(own, guest, far, 4007);
    memmove(frame + 16, frame + 12, length - 12);
    set16(12, ETH_P_8021Q), set16(14, 5), length += 4;
  } else if (IS("source route")) {
    begin(own, gateway, ETH_P_IP);
    size_t header = begin_ip(guest, far, TCP, 0);
    frame[header] = 0x47, put32(0x83070400 | 10), put32(0x00000100);
    put_syn(header, 4008), end_ip(header);
  } else if (IS("tunnel")) {
    begin(own, gateway, ETH_P_IP);
    size_t header = begin_ip(guest, far, GRE, 0);
    put32(0), put32(0), end_ip(header);
  } else exit(2);
  return 1;
}

static const char *const kinds[] = {
    "honest connection", "honest question", "foreign hardware address", "spoofed source", "address of another guest",
    "fragments", "source route", "loopback as destination", "multicast as destination", "echo request", "ICMP redirect",
    "foreign resolver", "UDP 443", "tunnel", "VLAN", "router advertisement", "ARP for another address",
    "ARP as the gateway", "ARP flood", "question flood", "connection flood"};

/* Where the frames go. A tap wants the header of virtio before each. */
static int out;
static int is_tap;

static void open_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  int size = VIRTIO_HEADER;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  out = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (out < 0 || ioctl(out, TUNSETIFF, &request) || ioctl(out, TUNSETVNETHDRSZ, &size)) perror("the tap"), exit(1);
}
static void open_packets(const char *name) {
  struct sockaddr_ll where = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  out = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (out < 0 || bind(out, (void *)&where, sizeof where)) perror("a packet socket"), exit(1);
}

static void send_frame(void) {
  uint8_t whole[VIRTIO_HEADER + sizeof frame] = {0};
  if (length < 60) memset(frame + length, 0, 60 - length), length = 60;
  memcpy(whole + VIRTIO_HEADER, frame, length);
  if (write(out, is_tap ? whole : whole + VIRTIO_HEADER, length + (is_tap ? VIRTIO_HEADER : 0)) < 0) perror("a frame");
}
/* Receives a frame of the other side. Returns whether one came in time. */
static int receive(uint8_t got[2048], int wait_ms) {
  struct pollfd wait = {.fd = out, .events = POLLIN};
  uint8_t whole[VIRTIO_HEADER + 2048];
  while (poll(&wait, 1, wait_ms) == 1) {
    struct sockaddr_ll from = {0};
    socklen_t size = sizeof from;
    ssize_t count = is_tap ? read(out, whole, sizeof whole)
                           : recvfrom(out, whole + VIRTIO_HEADER, 2048, 0, (void *)&from, &size);
    if (count <= 0) return 0;
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    memcpy(got, whole + VIRTIO_HEADER, 2048);
    return 1;
  }
  return 0;
}

/* How many packets IP has received in this network namespace. */
static long received(void) {
  FILE *file = fopen("/proc/net/snmp", "r");
  char line[1024];
  long count = 0;
  if (!file || !fgets(line, sizeof line, file) || !fgets(line, sizeof line, file)) return 0;
  sscanf(line, "Ip: %*d %*d %ld", &count);
  fclose(file);
  return count;
}
/* Whether this network namespace has an address of the prefix that the router advertisement gives. */
static int has_prefix(void) {
  char line[128];
  int found = 0;
  FILE *file = fopen("/proc/net/if_inet6", "r");
  while (file && fgets(line, sizeof line, file)) found |= strncmp(line, "20010db80bad", 12) == 0;
  if (file) fclose(file);
  return found;
}

static void attempt(const char *kind) {
  uint8_t got[2048];
  long before = received();
  int tcp = 0, names = 0, other = 0, arps = 0;
  while (receive(got, 0)) continue;
  for (int at = 0; make(kind, at); at++) send_frame();
  while (receive(got, WAIT_MS)) {
    unsigned type = got[12] * 256u + got[13];
    if (type == ETH_P_ARP && got[21] == ARP_ANSWER && memcmp(got + 28, frame + 38, 4) == 0) arps++;
    else if (type == ETH_P_IP && got[23] == TCP && got[36] * 256u + got[37] == own_port) tcp++;
    else if (type == ETH_P_IP && got[23] == UDP) names++;
    else if (type == ETH_P_IP && got[23] == ICMP) other++;
  }
  printf("%s\t", kind);
  if (!is_tap) printf("-");
  else if (strcmp(kind, "router advertisement") == 0) printf("%d", has_prefix());
  else printf("%ld", received() - before);
  printf("\ttcp %d, udp %d, arp %d, icmp %d\n", tcp > 0, names > 0, arps, other > 0);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  is_tap = strcmp(argv[1], "tap") == 0;
  if (is_tap) open_tap(argv[2]);
  else open_packets(argv[2]);
  uint8_t got[2048];
  /* A tap that was just opened may lose the first answer. */
  for (int tries = 0; tries < 5 && memcmp(gateway, nobody, 6) == 0; tries++) {
    arp(ARP_REQUEST, guest, router);
    send_frame();
    while (memcmp(gateway, nobody, 6) == 0 && receive(got, 400))
      if (got[12] == 8 && got[13] == 6 && got[21] == ARP_ANSWER) memcpy(gateway, got + 22, 6);
  }
  if (memcmp(gateway, nobody, 6) == 0) fprintf(stderr, "the gateway does not answer\n"), exit(1);
  for (int at = 3; at < argc; at++) attempt(argv[at]);
  for (size_t at = 0; argc == 3 && at < sizeof kinds / sizeof *kinds; at++) attempt(kinds[at]);
}
