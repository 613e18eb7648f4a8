/* Sends what a step left to the host: a file as it is, or a file or a directory as a tar archive. A child with the requested ids, chrooted
   to the requested root, opens and reads it. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
  int running, data, verdict; /* pipes from the child: the file's bytes, and its verdict */
  pid_t pid;
  char id[ID_MAX + 1];
} collection;
#define COLLECT_PATH_MAX 4000
#define DATA_FD 1 /* of the child */
#define VERDICT_FD 2
static struct pump pump = {.from = -1, .to = -1};
static struct message message;

void collect_finish(const char *status, const char *text) {
  (void)!write(VERDICT_FD, status, strlen(status));
  (void)!write(VERDICT_FD, " ", 1);
  (void)!write(VERDICT_FD, text, strlen(text));
  _exit(0);
}

static void enter(const char *root, long uid, long gid) {
  signal(SIGPIPE, SIG_DFL);
  if (chroot(root) || chdir("/") || setgroups(0, NULL) || setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) ||
      setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
    collect_finish("error", strerror(errno));
}

__attribute__((noreturn)) static void send_file(const char *path, long largest) {
  struct stat is;
  static char buffer[65536];
  int file = walk_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
  if (file < 0) collect_finish(errno == ENOENT || errno == ENOTDIR ? "missing" : "error", strerror(errno));
  if (fstat(file, &is)) collect_finish("error", strerror(errno));
  if (!S_ISREG(is.st_mode)) collect_finish("irregular", "not a regular file");
  if (is.st_size > largest) collect_finish("too-big", "larger than allowed");
  for (long sent = 0;;) {
    ssize_t n = read(file, buffer, sizeof buffer);
    if (n < 0) collect_finish("error", strerror(errno));
    if (n == 0) collect_finish("ok", "");
    if ((sent += n) > largest) collect_finish("too-big", "grew larger than allowed while it was read");
    for (ssize_t at = 0, m; at < n; at += m)
      if ((m = write(DATA_FD, buffer + at, (size_t)(n - at))) < 0) collect_finish("error", strerror(errno));
  }
}

int collect_busy(void) { return collection.running; }

void collect_begin(const struct frame *frame, int as_archive) {
  const struct field *f = frame->fields;
  long uid, gid, largest;
  const char *id, *root, *path;
  if (frame->count != 7 || !(id = field_string(&f[1], ID_MAX)) || !(root = field_string(&f[2], PATH_LIMIT)) || field_number(&f[3], &uid) ||
      field_number(&f[4], &gid) || !(path = field_string(&f[5], COLLECT_PATH_MAX)) || field_number(&f[6], &largest))
    return control_failed("collect", EINVAL, "malformed");
  int data[2], verdict[2];
  if (pipe2(data, O_CLOEXEC) || pipe2(verdict, O_CLOEXEC)) die("pipes: %s", strerror(errno));
  pid_t pid = fork();
  if (pid < 0) die("fork: %s", strerror(errno));
  if (pid == 0) {
    /* The child has no descriptor of init when it walks a path of a step. */
    if (dup2(data[1], DATA_FD) < 0 || dup2(verdict[1], VERDICT_FD) < 0 || close_range(VERDICT_FD + 1, ~0U, 0)) _exit(1);
    enter(root, uid, gid);
    if (!as_archive) send_file(path, largest);
    archive_send(path, largest, DATA_FD);
    collect_finish("ok", "");
  }
  close(data[1]), close(verdict[1]);
  fcntl(data[0], F_SETFL, O_NONBLOCK);
  strcpy(collection.id, id);
  collection.pid = pid, collection.running = 1, collection.data = data[0], collection.verdict = verdict[0];
  pump_open(&pump, data[0], ports[BULK], UINT64_MAX);
}

int collect_poll(struct pollfd *out) {
  if (!collection.running) return 0;
  if (pump_wants_write(&pump)) *out = (struct pollfd){ports[BULK], POLLOUT, 0};
  else if (pump_wants_read(&pump)) *out = (struct pollfd){pump.from, POLLIN, 0};
  else return 0;
  return 1;
}

void collect_turn(void) {
  if (!collection.running) return;
  pump_run(&pump);
  if (!pump_done(&pump)) return;
  char text[256];
  ssize_t n = read(collection.verdict, text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  close(collection.verdict), close(collection.data);
  waitpid(collection.pid, NULL, 0);
  collection.running = 0;
  char *blank = strchr(text, ' ');
  if (blank) *blank = 0;
  message_begin(&message, "collected");
  message_text(&message, collection.id);
  message_number(&message, (long)pump.read);
  message_text(&message, blank ? text : "error");
  message_text(&message, blank ? blank + 1 : "the process that reads the file died");
  control_send(&message);
}
