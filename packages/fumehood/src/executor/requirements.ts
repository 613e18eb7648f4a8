import type { InstanceFacts } from '@fumehood/executor';
import { commonVersion, protocolVersion } from '@fumehood/protocol';
import type { DoctorReport } from '../doctor/doctor.ts';

/** Something that an executor needs. */
export interface Requirement {
  readonly requirement: string;
  readonly met: boolean;
  readonly is: string;
  readonly shouldBe: string;
  /** The command or the step that mends it. Missing where it is met. */
  readonly remedy?: string;
}

/** Free space below which jobs and the cache have too little room, MiB. */
const roomMiB = 4096;
/** A clock that is further off makes certificates invalid, and the times in logs misleading, ms. */
const clockMaxMs = 30_000;

/** The findings of `fumehood doctor` that each executor needs, and how they should be. Others only say which tiers there are. */
const neededFindings: Readonly<Record<string, string>> = {
  system: 'linux on x64',
  programs: 'all installed',
  'state directory': 'a place that every user of Fumehood can reach',
  account: 'an entry of /etc/passwd for this user',
  'limits and users': 'a cgroup and a user for each virtual machine',
  'virtual machine monitor': 'one that runs',
};

/** Returns what an executor needs of its machine. `freeMiB`: free space in the state directory. */
export function machineRequirements(
  report: DoctorReport,
  machine: { readonly root: boolean; readonly freeMiB: number; readonly state: string },
): Requirement[] {
  const { root, freeMiB, state } = machine;
  const tiers = report.tiers.join(', ');
  return [
    requirement('user', root, root ? 'root' : 'not root', 'root', 'sudo fumehood executor validate'),
    ...report.findings.flatMap(({ check, ok, detail, remedy }) => {
      const shouldBe = neededFindings[check];
      return shouldBe === undefined ? [] : [requirement(check, ok, detail, shouldBe, remedy)];
    }),
    requirement(
      'isolation',
      report.tiers.length > 0,
      tiers === 'vm-emulated' ? 'vm-emulated, which jobs have to accept' : tiers || 'no tier',
      'a tier of virtual machines',
      '`fumehood doctor` says why there is none, and what to do.',
    ),
    requirement(
      'room',
      freeMiB >= roomMiB,
      `${(freeMiB / 1024).toFixed(1)} GiB free in ${state}`,
      `at least ${roomMiB / 1024} GiB`,
      'Free space there, or set FUMEHOOD_STATE to a directory of a larger disk.',
    ),
  ];
}

/** Returns what an executor needs of its instance, which has answered. */
export function instanceRequirements({ refusal, aheadMs, protocol }: InstanceFacts): Requirement[] {
  const apart = commonVersion(protocol, protocolVersion) === null;
  const ours = `version ${protocolVersion} here`;
  return [
    requirement(
      'protocol',
      !apart,
      protocol === null
        ? `${ours}; the instance is of upstream's kind`
        : `${ours}, version ${protocol.slice(0, 20)} on the instance`,
      'versions that are at most one apart',
      'Update the older of the two.',
    ),
    // An instance with a version that is too far apart refuses every request.
    ...(apart
      ? []
      : [
          requirement(
            'credential',
            refusal === null,
            refusal === null ? 'accepted' : `refused: ${refusal}`,
            'accepted by the instance',
            'Run `fumehood executor leave`, and then the command that `fumehood executors add` prints on the instance.',
          ),
        ]),
    requirement(
      'clock',
      aheadMs !== null && Math.abs(aheadMs) <= clockMaxMs,
      aheadMs === null ? 'the answer of the instance has no time' : clockText(aheadMs),
      `at most ${clockMaxMs / 1000} s from that of the instance`,
      'timedatectl set-ntp true',
    ),
  ];
}

/** Returns a requirement, with its remedy where it is not met. */
export function requirement(
  name: string,
  met: boolean,
  is: string,
  shouldBe: string,
  remedy: string | undefined,
): Requirement {
  return { requirement: name, met, is, shouldBe, ...(!met && remedy !== undefined && { remedy }) };
}

function clockText(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  if (seconds < 2) return 'that of the instance';
  return `${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of the instance`;
}

/** Lays out requirements: a line for each, and how those that are not met should be, with their remedies. */
export function requirementLines(requirements: readonly Requirement[]): string[] {
  return requirements.flatMap(({ requirement: name, met, is, shouldBe, remedy }) => [
    `${met ? '✓' : '✗'} ${name}: ${is}`,
    ...(met ? [] : [`    should be: ${shouldBe}`]),
    ...(remedy === undefined ? [] : [`    ${remedy}`]),
  ]);
}
