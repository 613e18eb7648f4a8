/** A system call with its numbers in the kernel's x86-64 and generic (arm64) tables. Null: the architecture does not have it. */
export type SystemCall = readonly [name: string, x64: number, arm64: number | null];

/**
 * The system calls that every filter denies. No program that only computes, reads and writes needs them, and kernel exploits
 * usually begin with one of them.
 */
export const deniedCalls: readonly SystemCall[] = [
  // Other processes.
  ...([
    ['ptrace', 101, 117],
    ['process_vm_readv', 310, 270],
    ['process_vm_writev', 311, 271],
    ['kcmp', 312, 272],
    ['pidfd_getfd', 438, 438],
    ['process_madvise', 440, 440],
  ] as const),
  // Keys of the kernel, which have no namespace.
  ...([
    ['add_key', 248, 217],
    ['request_key', 249, 218],
    ['keyctl', 250, 219],
  ] as const),
  // Namespaces and mounts.
  ...([
    ['unshare', 272, 97],
    ['setns', 308, 268],
    ['mount', 165, 40],
    ['umount2', 166, 39],
    ['pivot_root', 155, 41],
    ['chroot', 161, 51],
    ['open_tree', 428, 428],
    ['move_mount', 429, 429],
    ['fsopen', 430, 430],
    ['fsconfig', 431, 431],
    ['fsmount', 432, 432],
    ['fspick', 433, 433],
    ['mount_setattr', 442, 442],
    ['open_by_handle_at', 304, 265],
    ['fanotify_init', 300, 262],
  ] as const),
  // Large interfaces of the kernel. A filter does not see what io_uring is asked to do.
  ...([
    ['bpf', 321, 280],
    ['perf_event_open', 298, 241],
    ['userfaultfd', 323, 282],
    ['io_uring_setup', 425, 425],
    ['io_uring_enter', 426, 426],
    ['io_uring_register', 427, 427],
  ] as const),
  // The machine: code of the kernel, clocks, swap, quotas, ports.
  ...([
    ['init_module', 175, 105],
    ['finit_module', 313, 273],
    ['delete_module', 176, 106],
    ['kexec_load', 246, 104],
    ['kexec_file_load', 320, 294],
    ['reboot', 169, 142],
    ['settimeofday', 164, 170],
    ['clock_settime', 227, 112],
    ['adjtimex', 159, 171],
    ['clock_adjtime', 305, 266],
    ['swapon', 167, 224],
    ['swapoff', 168, 225],
    ['acct', 163, 89],
    ['quotactl', 179, 60],
    ['quotactl_fd', 443, 443],
    ['syslog', 103, 116],
    ['vhangup', 153, 58],
    ['lookup_dcookie', 212, 18],
    ['iopl', 172, null],
    ['ioperm', 173, null],
    ['modify_ldt', 154, null],
    ['uselib', 134, null],
    ['personality', 135, 92],
  ] as const),
];

/**
 * The first number that no system call had when `deniedCalls` was last compared with the kernel's tables (Linux 6.14). Filters
 * answer this number and all higher ones with ENOSYS, as a kernel without the call does: nobody has judged these calls yet.
 */
export const firstUnknownCall = 467;
