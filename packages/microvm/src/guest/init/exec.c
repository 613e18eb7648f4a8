/* Executes a step's program, and finds out what is missing when the kernel cannot. */
#define _GNU_SOURCE
#include "init.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEAD_MAX 256     /* the kernel reads as much of a file to find its interpreter (BINPRM_BUF_SIZE) */
#define INTERPRETERS 5   /* the kernel follows as many: a script's interpreter may be a script */

const char **step_variable(struct step *step, const char *name) {
  size_t size = strlen(name);
  for (int i = 0; i < step->envc; i++)
    if (!strncmp(step->env[i], name, size) && step->env[i][size] == '=') return &step->env[i];
  return NULL;
}

/* Reads the path of a 64-bit program's dynamic linker. Returns its length, 0 if there is none. */
static size_t elf_interpreter(int file, const Elf64_Ehdr *head, char *out) {
  for (unsigned i = 0; i < head->e_phnum && head->e_phentsize == sizeof(Elf64_Phdr); i++) {
    Elf64_Phdr part;
    if (pread(file, &part, sizeof part, (off_t)(head->e_phoff + i * sizeof part)) != sizeof part) return 0;
    if (part.p_type != PT_INTERP || part.p_filesz >= PATH_MAX) continue;
    ssize_t n = pread(file, out, part.p_filesz, (off_t)part.p_offset);
    return n > 0 ? strnlen(out, (size_t)n) : 0;
  }
  return 0;
}

/* Writes the path of the interpreter of a script or a dynamic program to `out` (PATH_MAX bytes). Returns whether there is one. */
static int interpreter_of(const char *path, char *out) {
  char head[HEAD_MAX + 1] = "";
  int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  ssize_t n = file < 0 ? -1 : pread(file, head, HEAD_MAX, 0);
  size_t size = 0;
  if (n > 2 && !memcmp(head, "#!", 2)) {
    const char *name = head + 2 + strspn(head + 2, " \t");
    size = strcspn(name, " \t\n");
    memcpy(out, name, size);
  } else if (n >= (ssize_t)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] == ELFCLASS64) {
    Elf64_Ehdr elf;
    memcpy(&elf, head, sizeof elf);
    size = elf_interpreter(file, &elf, out);
  }
  if (file >= 0) close(file);
  out[size] = 0;
  return size > 0;
}

/* Ends the child because `path` cannot be executed, which may be its interpreter's fault. */
__attribute__((noreturn)) static void fail(const char *path, int error) {
  static char names[INTERPRETERS + 1][PATH_MAX];
  const char *culprit = path;
  for (int i = 0; i <= INTERPRETERS && !access(culprit, X_OK) && interpreter_of(culprit, names[i]); i++) culprit = names[i];
  int code = error == ENOENT ? 127 : 126;
  const char *why = error == ENOENT ? "not found in the image" : strerror(error);
  size_t size = strlen(culprit);
  if (culprit == path) child_fail(code, "exec %.200s: %s", path, why);
  if (culprit[size - 1] == '\r')
    child_fail(code, "exec %.200s: its interpreter %.*s\\r: %s; its first line ends with CR LF, write LF alone", path, (int)(size < 200 ? size - 1 : 200), culprit, why);
  child_fail(code, "exec %.200s: its interpreter %.200s: %s", path, culprit, why);
}

void exec_program(struct step *step) {
  char *const *argv = (char *const *)step->argv, *const *env = (char *const *)step->env;
  if (strchr(argv[0], '/')) {
    execve(argv[0], argv, env);
    fail(argv[0], errno);
  }
  const char **path = step_variable(step, "PATH");
  char file[PATH_MAX], found[PATH_MAX] = "";
  int error = ENOENT;
  for (const char *at = path ? *path + strlen("PATH=") : ""; *at;) {
    size_t size = strcspn(at, ":");
    if (size > 0 && size + 1 + strlen(argv[0]) < sizeof file) {
      snprintf(file, sizeof file, "%.*s/%s", (int)size, at, argv[0]);
      execve(file, argv, env);
      /* The first file of this name says what is wrong, unless a later one can be executed. */
      if (!*found && (errno != ENOTDIR) && !access(file, F_OK)) {
        error = errno;
        strcpy(found, file);
      }
    }
    at += size + (at[size] == ':');
  }
  fail(*found ? found : argv[0], error);
}
