import { join } from 'node:path';

/** What runs as a service of this machine. */
export type Service = 'instance' | 'executor';

/** The name of the unit of a service. */
export const unitName = (service: Service): string => `fumehood-${service}.service`;

/** What a unit depends on. */
export interface UnitFacts {
  /** Path of the command. */
  readonly command: string;
  /** The options of `fumehood instance start`. */
  readonly options: readonly string[];
  /** The state directory. */
  readonly state: string;
  /** A file with variables that are secret; one that is missing is no error. */
  readonly environmentFile: string;
}

/**
 * What both services are kept from. V8 compiles, so memory that is written and executed cannot be denied; the sandbox of programs makes
 * namespaces of its own.
 */
const common = [
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'ProtectKernelTunables=yes',
  // bwrap writes `max_user_namespaces` of the user namespace that it has made, so that the program in it can make none.
  'ReadWritePaths=/proc/sys/user',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'RemoveIPC=yes',
  'SystemCallArchitectures=native',
  'UMask=0077',
];

/**
 * The instance has a user and no privilege. The executor's helper is root, because it gives the agent and each VM a user of its own; the
 * agent and the VMs have no capability.
 */
const special: Readonly<Record<Service, readonly string[]>> = {
  instance: [
    'User=fumehood',
    'Group=fumehood',
    'CapabilityBoundingSet=',
    'AmbientCapabilities=',
    'PrivateMounts=yes',
    'PrivateDevices=yes',
    'ProtectControlGroups=yes',
    'ProtectProc=invisible',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'SystemCallFilter=@system-service @mount seccomp',
    'SystemCallErrorNumber=EPERM',
    'TasksMax=2048',
  ],
  executor: [
    // The helper makes a cgroup for each VM.
    'Delegate=yes',
    'DevicePolicy=closed',
    'DeviceAllow=/dev/kvm rw',
    'DeviceAllow=/dev/loop-control rw',
    'DeviceAllow=/dev/net/tun rw',
    // The network of a guest has settings of its own.
    'ReadWritePaths=/proc/sys/net',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_SYS_RESOURCE CAP_NET_ADMIN',
    'SystemCallFilter=@system-service @mount @setuid seccomp pidfd_getfd',
    'SystemCallErrorNumber=EPERM',
    'TasksMax=infinity',
  ],
};

/** Returns the text of a service's systemd unit. */
export function unitOf(service: Service, facts: UnitFacts): string {
  const description = { instance: 'Fumehood instance', executor: 'Fumehood executor' }[service];
  return [
    '[Unit]',
    `Description=${description}`,
    'Wants=network-online.target',
    'After=network-online.target',
    ownState(service, facts),
    '',
    '[Service]',
    'Type=exec',
    ...ownLines(service, facts),
    `EnvironmentFile=-${facts.environmentFile}`,
    'Restart=on-failure',
    'RestartSec=2',
    // The first SIGTERM lets an executor finish its jobs.
    'KillMode=mixed',
    `TimeoutStopSec=${service === 'executor' ? 'infinity' : '60'}`,
    ...common,
    ...special[service],
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

/** Returns what an admin's options change of the unit that the Debian package has: an upgrade of the package changes the rest. */
export function changesOf(service: Service, facts: UnitFacts): string {
  return [
    '[Unit]',
    'AssertPathExists=',
    ownState(service, facts),
    '',
    '[Service]',
    'ExecStart=',
    ...ownLines(service, facts),
    '',
  ].join('\n');
}

/** The state of an executor that has joined an instance elsewhere belongs to root, that of an instance to its user. */
function ownState(service: Service, { state }: UnitFacts): string {
  const joined = join(state, 'executor.json').replaceAll('%', '%%');
  return `AssertPathExists=${service === 'instance' ? '!' : ''}${joined}`;
}

function ownLines(service: Service, { command, options, state }: UnitFacts): string[] {
  return [
    `ExecStart=${[command, service, 'start', ...options].map(quoted).join(' ')}`,
    `Environment=${quoted(`FUMEHOOD_STATE=${state}`)}`,
    directoryOf(state),
  ];
}

/** systemd makes a directory below /var/lib, and gives it to the user of the service. */
function directoryOf(state: string): string {
  const [, name] = /^\/var\/lib\/([\w.-]+)$/.exec(state) ?? [];
  return name === undefined ? `ReadWritePaths=${quoted(state)}` : `StateDirectory=${name}`;
}

/** Quotes a word of a unit's file: `%` and `$` stand for something there. */
function quoted(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (/^[\w@%+=:,./$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
