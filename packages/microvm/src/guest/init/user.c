#include "user.h"
#include <string.h>

/* Returns the n-th colon-separated part of a line that ends at `end`, with its length in *size, or NULL. */
static const char *part(const char *line, const char *end, int n, size_t *size) {
  for (; n > 0; n--) {
    const char *colon = memchr(line, ':', (size_t)(end - line));
    if (!colon) return NULL;
    line = colon + 1;
  }
  const char *colon = memchr(line, ':', (size_t)(end - line));
  *size = (size_t)((colon ? colon : end) - line);
  return line;
}

/* Parses a decimal id. Returns 0, or -1 for anything else. */
static int number_of(const char *text, size_t size, unsigned *out) {
  unsigned long value = 0;
  if (size < 1 || size > 10) return -1;
  for (size_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (unsigned long)(text[i] - '0');
  }
  if (value >= 0xffffffffUL) return -1; /* -1 means "unchanged" to setresuid */
  *out = (unsigned)value;
  return 0;
}

static int same(const char *a, size_t size, const char *b, size_t b_size) {
  return size == b_size && memcmp(a, b, size) == 0;
}

static const char *end_of_line(const char *line) {
  const char *end = strchr(line, '\n');
  return end ? end : line + strlen(line);
}

/* Finds a passwd line by name, or by number if `uid` is given, and fills in ids and home. Returns the line's name, or NULL. */
static const char *find_user(const char *passwd, const char *name, size_t name_size, const unsigned *uid, size_t *found_size, struct identity *out) {
  for (const char *line = passwd; *line;) {
    const char *end = end_of_line(line), *text;
    size_t size;
    unsigned line_uid, gid;
    int valid = (text = part(line, end, 2, &size)) && !number_of(text, size, &line_uid) && (text = part(line, end, 3, &size)) &&
               !number_of(text, size, &gid);
    if (valid) {
      text = part(line, end, 0, found_size);
      if (uid ? line_uid == *uid : same(text, *found_size, name, name_size)) {
        out->uid = line_uid;
        out->gid = gid;
        text = part(line, end, 5, &size);
        if (text && size > 0 && size < HOME_MAX) {
          memcpy(out->home, text, size);
          out->home[size] = 0;
        }
        return line;
      }
    }
    line = *end ? end + 1 : end;
  }
  return NULL;
}

/* Finds a group by name. Returns whether there is one, with its id in *gid. */
static int find_group(const char *group, const char *name, size_t name_size, unsigned *gid) {
  for (const char *line = group; *line;) {
    const char *end = end_of_line(line), *text;
    size_t size;
    text = part(line, end, 0, &size);
    if (text && same(text, size, name, name_size) && (text = part(line, end, 2, &size)) && !number_of(text, size, gid)) return 1;
    line = *end ? end + 1 : end;
  }
  return 0;
}

/* Adds the groups whose member list names the user. */
static void add_groups(const char *group, const char *name, size_t name_size, struct identity *out) {
  for (const char *line = group; *line;) {
    const char *end = end_of_line(line), *text;
    size_t size;
    unsigned gid;
    if ((text = part(line, end, 2, &size)) && !number_of(text, size, &gid) && (text = part(line, end, 3, &size))) {
      const char *member = text, *stop = text + size;
      while (member < stop && out->group_count < GROUPS_MAX) {
        const char *comma = memchr(member, ',', (size_t)(stop - member));
        const char *member_end = comma ? comma : stop;
        if (same(member, (size_t)(member_end - member), name, name_size)) {
          out->groups[out->group_count++] = gid;
          break;
        }
        member = comma ? comma + 1 : stop;
      }
    }
    line = *end ? end + 1 : end;
  }
}

const char *identity_of(const char *user, const char *passwd, const char *group, struct identity *out) {
  const char *colon = strchr(user, ':'), *wanted_group = colon ? colon + 1 : "", *name;
  size_t size = colon ? (size_t)(colon - user) : strlen(user), group_size = strlen(wanted_group), name_size = 0;
  unsigned number = 0;
  /* As in Docker, digits are a number even if a user has this name, and an empty USER is user 0. */
  int is_number = size == 0 || !number_of(user, size, &number);
  memset(out, 0, sizeof *out);
  strcpy(out->home, "/");
  name = find_user(passwd, user, size, is_number ? &number : NULL, &name_size, out);
  if (!name && !is_number) return "no such user in the image's /etc/passwd";
  if (!name) out->uid = number; /* as in Docker, a number without a passwd line has group 0 */
  if (group_size > 0) {
    unsigned gid;
    if (number_of(wanted_group, group_size, &gid) && !find_group(group, wanted_group, group_size, &gid)) return "no such group in the image's /etc/group";
    out->gid = gid; /* as in Docker, an explicit group is the only group */
  } else if (name && name_size > 0) {
    add_groups(group, name, name_size, out);
  }
  return NULL;
}
