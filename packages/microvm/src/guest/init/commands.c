/* The host's commands, one function for each verb. A failed command ends the job: init refuses every command after it. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int accepted, knocked, broken;

static void fail(const struct frame *frame, int error, const char *text) {
  broken = 1;
  control_failed(field_string(&frame->fields[0], 32) ? frame->fields[0].data : "?", error, text);
}

static void make_parents(const char *path) {
  char part[PATH_LIMIT + 1];
  snprintf(part, sizeof part, "%s", path);
  for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(part, 0755);
    *slash = '/';
  }
}

/* Writes the names of the network interfaces as a comma-separated list. */
static void list_interfaces(char *out, size_t size) {
  struct if_nameindex *all = if_nameindex();
  size_t used = 0;
  out[0] = 0;
  for (struct if_nameindex *i = all; i && i->if_index; i++)
    if (used < size) used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", i->if_name);
  if (all) if_freenameindex(all);
}

/* Reseeds the random number generator and sets the clock. */
static void knock(const struct frame *frame) {
  const struct field *f = frame->fields;
  long ms;
  static struct message answer;
  struct {
    struct rand_pool_info info;
    char bytes[64];
  } pool = {.info = {.entropy_count = 512, .buf_size = 64}};
  if (frame->count != 4 || f[1].size != 32 || field_number(&f[2], &ms) || f[3].size != 64) return fail(frame, EINVAL, "malformed");
  memcpy(pool.info.buf, f[3].data, 64);
  int random = open("/dev/random", O_RDWR | O_CLOEXEC);
  int failed = random < 0 || ioctl(random, RNDADDENTROPY, &pool) || ioctl(random, RNDRESEEDCRNG);
  if (random >= 0) close(random);
  struct timespec now = {ms / 1000, ms % 1000 * 1000000};
  if (failed || clock_settime(CLOCK_REALTIME, &now)) return fail(frame, errno, strerror(errno));
  char names[512], boot_id[64];
  struct utsname kernel;
  if (uname(&kernel)) return fail(frame, errno, strerror(errno));
  list_interfaces(names, sizeof names);
  /* The kernel makes it up at its first reading, which must not be before the reseeding: clones would share it. */
  int id = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t n = id < 0 ? -1 : read(id, boot_id, sizeof boot_id - 1);
  if (id >= 0) close(id);
  if (n <= 0) return fail(frame, errno, "boot_id");
  boot_id[n] = 0;
  boot_id[strcspn(boot_id, "\n")] = 0;
  clock_gettime(CLOCK_REALTIME, &now);
  knocked = 1;
  message_begin(&answer, "knocked");
  message_bytes(&answer, f[1].data, f[1].size);
  message_number(&answer, now.tv_sec * 1000L + now.tv_nsec / 1000000);
  message_text(&answer, kernel.release);
  message_text(&answer, names);
  message_text(&answer, boot_id);
  control_send(&answer);
}

static void make_directory(const struct frame *frame) {
  const struct field *f = frame->fields;
  const char *path;
  unsigned mode;
  long uid, gid;
  if (frame->count != 5 || !(path = field_string(&f[1], PATH_LIMIT)) || field_mode(&f[2], &mode) || field_number(&f[3], &uid) ||
      field_number(&f[4], &gid))
    return fail(frame, EINVAL, "malformed");
  make_parents(path);
  if ((mkdir(path, 0755) && errno != EEXIST) || ((uid || gid) && chown(path, (uid_t)uid, (gid_t)gid)) || chmod(path, mode))
    fail(frame, errno, strerror(errno));
}

static void make_file(const struct frame *frame) {
  const struct field *f = frame->fields;
  const char *path;
  unsigned mode;
  if (frame->count != 4 || !(path = field_string(&f[1], PATH_LIMIT)) || field_mode(&f[3], &mode))
    return fail(frame, EINVAL, "malformed");
  make_parents(path);
  int file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
  int failed = file < 0 || write(file, f[2].data, f[2].size) != (ssize_t)f[2].size || fchmod(file, mode);
  int error = errno;
  if (file >= 0) close(file);
  if (failed) fail(frame, error, strerror(error));
}

static int mount_flags(const char *text, unsigned long *flags) {
  static const struct {
    const char *name;
    unsigned long flag;
  } known[] = {{"ro", MS_RDONLY}, {"nodev", MS_NODEV}};
  *flags = 0;
  while (*text) {
    size_t size = strcspn(text, ","), i = 0;
    while (i < 2 && (strlen(known[i].name) != size || memcmp(known[i].name, text, size))) i++;
    if (i == 2) return -1;
    *flags |= known[i].flag;
    text += size + (text[size] == ',');
  }
  return 0;
}

static void make_mount(const struct frame *frame) {
  const struct field *f = frame->fields;
  const char *type, *source, *target, *names, *data;
  unsigned long flags;
  if (frame->count != 6 || !(type = field_string(&f[1], 32)) || !(source = field_string(&f[2], PATH_LIMIT)) || !(target = field_string(&f[3], PATH_LIMIT)) ||
      !(names = field_string(&f[4], 100)) || !(data = field_string(&f[5], 4000)) || mount_flags(names, &flags))
    return fail(frame, EINVAL, "malformed");
  make_parents(target);
  mkdir(target, 0755);
  if (mount(source, target, type, flags, *data ? data : NULL)) fail(frame, errno, strerror(errno));
}

/* Adds a bind mount (source, NUL, target, NUL, mode) to the step. Returns 0, or -1 if it is malformed. */
static int step_bind(struct step *step, const struct field *value) {
  const char *source = value->data, *end = value->data + value->size;
  const char *target = source + strlen(source) + 1;
  if (target >= end || step->bindc == BINDS_MAX) return -1;
  const char *mode = target + strlen(target) + 1;
  if (mode >= end || mode + strlen(mode) != end || (strcmp(mode, "ro") && strcmp(mode, "rw"))) return -1;
  step->binds[step->bindc++] = (struct bind){source, target, !strcmp(mode, "ro")};
  return 0;
}

/* Parses the rows or the columns of a terminal. Returns 0, or -1. */
static int field_size(const struct field *field, long *out) {
  return field_number(field, out) || *out < 1 || *out > TERMINAL_MAX ? -1 : 0;
}

/* Sets the step's fact of this key. Returns 0, or -1 for an unknown key or a malformed value. */
static int step_key(struct step *step, const char *key, const struct field *value) {
  if (!strcmp(key, "bind")) return step_bind(step, value);
  if (!strcmp(key, "memory")) return field_number(value, &step->memory);
  if (!strcmp(key, "pids")) return field_number(value, &step->pids);
  if (!strcmp(key, "deadline")) return field_number(value, &step->deadline);
  if (!strcmp(key, "stop-signal")) return field_number(value, &step->stop_signal) || step->stop_signal < 1 || step->stop_signal > SIGRTMAX;
  if (!strcmp(key, "grace")) return field_number(value, &step->grace);
  if (!strcmp(key, "rows")) return field_size(value, &step->rows);
  if (!strcmp(key, "columns")) return field_size(value, &step->columns);
  const char *text = field_string(value, FRAME_MAX);
  if (!text) return -1;
  if (!strcmp(key, "arg") && step->argc < ARGS_MAX) return step->argv[step->argc++] = text, 0;
  if (!strcmp(key, "env") && step->envc < ARGS_MAX) return step->env[step->envc++] = text, 0;
  if (!strcmp(key, "volume") && step->volumec < VOLUMES_MAX) return step->volumes[step->volumec++] = text, 0;
  if (!strcmp(key, "root")) return step->root = text, 0;
  if (!strcmp(key, "user")) return step->user = text, 0;
  if (!strcmp(key, "cwd")) return step->cwd = text, 0;
  if (!strcmp(key, "hostname")) return step->hostname = text, 0;
  return -1;
}

/* Refuses the command while a step or a collection is running: they run one at a time. Returns whether it did. */
static int refuse_if_busy(const struct frame *frame) {
  if (!runner_busy() && !collect_busy()) return 0;
  control_failed(field_string(&frame->fields[0], 32), EBUSY, "a step or a collection is running");
  return 1;
}

static void start_step(const struct frame *frame) {
  const struct field *f = frame->fields;
  static struct step step;
  memset(&step, 0, sizeof step);
  step.user = "", step.cwd = "/", step.hostname = "job", step.stop_signal = SIGTERM;
  if (!accepted) return fail(frame, EPERM, "the host has not accepted the guest yet");
  if (frame->count < 2 || frame->count % 2 || !(step.id = field_string(&f[1], ID_MAX))) return fail(frame, EINVAL, "malformed");
  for (uint32_t i = 2; i < frame->count; i += 2) {
    const char *key = field_string(&f[i], 32);
    if (!key || step_key(&step, key, &f[i + 1])) return fail(frame, EINVAL, "malformed key or value");
  }
  if (!step.rows != !step.columns) return fail(frame, EINVAL, "a size of a terminal has rows and columns");
  if (!step.root || step.argc == 0) return fail(frame, EINVAL, "the root or the command is missing");
  if (refuse_if_busy(frame)) return;
  runner_step(&step);
}

static void end_stdin(const struct frame *frame) {
  const char *id;
  long total;
  if (frame->count != 3 || !(id = field_string(&frame->fields[1], ID_MAX)) || field_number(&frame->fields[2], &total))
    return fail(frame, EINVAL, "malformed");
  runner_stdin_end(id, total);
}

static void resize_step(const struct frame *frame) {
  const struct field *f = frame->fields;
  const char *id;
  long rows, columns;
  if (frame->count != 4 || !(id = field_string(&f[1], ID_MAX)) || field_size(&f[2], &rows) || field_size(&f[3], &columns))
    return fail(frame, EINVAL, "malformed");
  runner_resize(id, rows, columns);
}

static void stop_step(const struct frame *frame) {
  const char *id;
  if (frame->count != 2 || !(id = field_string(&frame->fields[1], ID_MAX))) return fail(frame, EINVAL, "malformed");
  runner_stop(id);
}

static void pong(const struct frame *frame) {
  static struct message answer;
  message_begin(&answer, "pong");
  message_bytes(&answer, frame->fields[1].data, frame->count > 1 && frame->fields[1].size < 100 ? frame->fields[1].size : 0);
  control_send(&answer);
}

static void accept_host(const struct frame *frame) {
  if (!knocked) return fail(frame, EPERM, "the host has not knocked yet");
  accepted = 1;
}

void control_run(const struct frame *frame) {
  const char *verb = field_string(&frame->fields[0], 32);
  if (!verb) die("malformed verb");
  if (!strcmp(verb, "ping") && frame->count == 2) return pong(frame);
  if (!strcmp(verb, "knock") && !broken) return knock(frame);
  if (broken) return fail(frame, ECANCELED, "an earlier command failed");
  if (!strcmp(verb, "accept")) return accept_host(frame);
  if (!strcmp(verb, "mkdir")) return make_directory(frame);
  if (!strcmp(verb, "mount")) return make_mount(frame);
  if (!strcmp(verb, "file")) return make_file(frame);
  if (!strcmp(verb, "step")) return start_step(frame);
  if (!strcmp(verb, "collect")) return refuse_if_busy(frame) ? (void)0 : collect_begin(frame, 0);
  if (!strcmp(verb, "archive")) return refuse_if_busy(frame) ? (void)0 : collect_begin(frame, 1);
  if (!strcmp(verb, "stdin-end")) return end_stdin(frame);
  if (!strcmp(verb, "resize")) return resize_step(frame);
  if (!strcmp(verb, "stop")) return stop_step(frame);
  fail(frame, ENOSYS, "unknown verb");
}
