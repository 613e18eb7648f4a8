#define _GNU_SOURCE
/* The step's seccomp filter. The VM is the security boundary; the filter protects init, its channel and the VM's devices. */
#include "init.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define DENY RETURN(SECCOMP_RET_ERRNO | EPERM)
#define IF(value, then, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise)
#define DENY_CALL(number) IF(number, 0, 1), DENY

#define X32_BIT 0x40000000

int filter_install(void) {
  static struct sock_filter code[] = {
      LOAD(arch),
      /* A 32-bit call ends the process: it would reach everything below by other numbers, some with arguments in memory, which a
         filter cannot read. An error in place of SIGSYS would let a 32-bit program fail at some later point, or loop. */
      IF(AUDIT_ARCH_X86_64, 1, 0),
      RETURN(SECCOMP_RET_KILL_PROCESS),
      LOAD(nr),
      /* x32 calls carry this bit. The answer is the one of a kernel without x32. */
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1),
      RETURN(SECCOMP_RET_ERRNO | ENOSYS),
      IF(SYS_socket, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      IF(AF_VSOCK, 0, 1),
      DENY,
      RETURN(SECCOMP_RET_ALLOW),
      DENY_CALL(SYS_kexec_load),
      DENY_CALL(SYS_kexec_file_load),
      DENY_CALL(SYS_init_module),
      DENY_CALL(SYS_finit_module),
      DENY_CALL(SYS_delete_module),
      DENY_CALL(SYS_bpf),
      DENY_CALL(SYS_perf_event_open),
      DENY_CALL(SYS_userfaultfd),
      DENY_CALL(SYS_open_by_handle_at),
      DENY_CALL(SYS_reboot),
      DENY_CALL(SYS_swapon),
      DENY_CALL(SYS_swapoff),
      DENY_CALL(SYS_iopl),
      DENY_CALL(SYS_ioperm),
      DENY_CALL(SYS_keyctl),
      DENY_CALL(SYS_add_key),
      DENY_CALL(SYS_request_key),
      DENY_CALL(SYS_io_uring_setup),
      RETURN(SECCOMP_RET_ALLOW),
  };
  static const struct sock_fprog program = {sizeof code / sizeof code[0], code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
