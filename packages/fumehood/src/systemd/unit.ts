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
  /** Variables of the service, which the unit's file does not keep from anybody. */
  readonly environment: Readonly<Record<string, string>>;
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
    'SystemCallFilter=@system-service @mount @sandbox',
    'SystemCallErrorNumber=EPERM',
    'TasksMax=2048',
  ],
  executor: [
    // The helper makes a cgroup for each VM.
    'Delegate=yes',
    'DevicePolicy=closed',
    'DeviceAllow=/dev/kvm rw',
    'DeviceAllow=/dev/loop-control rw',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_SYS_ADMIN CAP_SYS_PTRACE CAP_SYS_RESOURCE CAP_NET_ADMIN',
    'SystemCallFilter=@system-service @mount @setuid @sandbox',
    'SystemCallErrorNumber=EPERM',
    'TasksMax=infinity',
  ],
};

/** Returns the text of a service's systemd unit. */
export function unitOf(service: Service, facts: UnitFacts): string {
  const { command, options, state, environment, environmentFile } = facts;
  const description = { instance: 'Fumehood instance', executor: 'Fumehood executor' }[service];
  return [
    '[Unit]',
    `Description=${description}`,
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${[command, service, 'start', ...options].map(quoted).join(' ')}`,
    ...Object.entries({ FUMEHOOD_STATE: state, ...environment }).map(
      ([name, value]) => `Environment=${quoted(`${name}=${value}`)}`,
    ),
    `EnvironmentFile=-${environmentFile}`,
    'Restart=on-failure',
    'RestartSec=2',
    // The first SIGTERM lets an executor finish its jobs.
    'KillMode=mixed',
    `TimeoutStopSec=${service === 'executor' ? 'infinity' : '60'}`,
    `ReadWritePaths=${quoted(state)}`,
    ...common,
    ...special[service],
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
}

/** Quotes a word of a unit's file: `%` and `$` stand for something there. */
function quoted(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  if (/^[\w@%+=:,./$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
