/** Refused outright, as programs take EPERM for granted there. Everything not named here or below does not exist for an app. */
const forbidden = words(`
  acct add_key bpf clock_adjtime clock_settime create_module delete_module finit_module fsconfig fsmount fsopen fspick
  get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
  lookup_dcookie mount mount_setattr move_mount nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
  process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key setdomainname sethostname setns
  settimeofday stime swapoff swapon syslog umount umount2 unshare uselib userfaultfd vhangup
`);

/** What programs need; with no way to new namespaces, other processes' memory, keys, modules or clocks. */
const allowed = words(`
  accept accept4 access alarm arch_prctl bind brk capget capset chdir chmod chown clock_getres clock_gettime clock_gettime64
  clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait
  epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod
  fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync
  ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list get_thread_area getcpu
  getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority
  getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
  inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit
  ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat
  listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack mbind membarrier memfd_create mincore
  mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat
  openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
  prlimit64 process_madvise process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom
  recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
  rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
  sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
  sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg
  sendmsg sendto set_mempolicy set_mempolicy_home_node set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid
  setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat
  shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat sync
  sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
  timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill
  truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
`);

/** Flags of `clone` for new namespaces: mount, cgroup, uts, ipc, user, pid and net. */
const newNamespaces = 0x7e02_0000;
/** UNIX, IPv4, IPv6 and netlink: no family that few programs need and whose code few people read. */
const families = [1, 2, 10, 16];
/** Of `personality`: Linux with and without randomised addresses, and to ask. */
const personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const [EPERM, ENOSYS] = [1, 38];

/**
 * Filter of the system calls of an app, by the OCI runtime specification. Other calls fail as if the
 * kernel did not have them, and programs of another architecture, such as of 32 bits, are ended.
 */
export const seccomp = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: ENOSYS,
  syscalls: [
    { names: allowed, action: 'SCMP_ACT_ALLOW' },
    { names: forbidden, action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
    { names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [argument(0, 0, 'SCMP_CMP_MASKED_EQ', newNamespaces)] },
    // Its flags are in memory, where no filter can see them; programs then use `clone`.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
    ...families.map((family) => equals('socket', family)),
    ...personalities.map((personality) => equals('personality', personality)),
  ],
};

function equals(name: string, value: number) {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [argument(0, value, 'SCMP_CMP_EQ')] };
}

function argument(index: number, value: number, op: string, mask?: number) {
  // A masked comparison has the mask first, then the value.
  return mask === undefined ? { index, value, op } : { index, value: mask, valueTwo: value, op };
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
