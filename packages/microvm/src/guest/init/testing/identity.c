/* Reads user, passwd and group from stdin, each ended by a NUL, as often as there are, and writes who that is, a line each. */
#include "../user.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char all[1 << 22];

/* On the heap and no byte longer, so that the sanitizer sees whoever reads on. */
static char *next(char **at, char *end) {
  if (*at >= end) return NULL;
  char *copy = strdup(*at);
  *at += strlen(*at) + 1;
  return copy;
}

int main(void) {
  static struct identity who;
  size_t size = fread(all, 1, sizeof all - 1, stdin);
  char *at = all, *end = all + size, *user, *passwd, *group;
  while ((user = next(&at, end)) && (passwd = next(&at, end)) && (group = next(&at, end))) {
    const char *wrong = identity_of(user, passwd, group, &who);
    if (wrong) printf("%s\n", wrong);
    else {
      printf("%u:%u ", who.uid, who.gid);
      for (int i = 0; i < who.group_count; i++) printf("%s%u", i ? "," : "", who.groups[i]);
      printf(" %s\n", who.home);
    }
    free(user), free(passwd), free(group);
  }
  return 0;
}
