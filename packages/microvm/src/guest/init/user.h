/* Looks up Docker's USER in the text of an image's passwd and group files. This file does no I/O, so that tests can fuzz it. */
#ifndef USER_H
#define USER_H
#include <sys/types.h>

#define GROUPS_MAX 64
#define HOME_MAX 4096

struct identity {
  uid_t uid;
  gid_t gid;
  gid_t groups[GROUPS_MAX];
  int group_count;
  char home[HOME_MAX];
};

/* `user` is `''`, `name`, `uid`, `name:group`, `uid:gid`, …; `passwd` and `group` are whole files, ended by a NUL, and may be
   empty. Returns NULL, or an error message. */
const char *identity_of(const char *user, const char *passwd, const char *group, struct identity *out);
#endif
