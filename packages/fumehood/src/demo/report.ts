import { counted } from '@fumehood/base';
import { type JobRecord, type LogEntry, tierMeaning } from '@fumehood/protocol';
import { formatBytes } from '../state/usage.ts';

/** The answer to one definition query, for people: lines and characters count from 1, paths start at the top of the repository. */
export interface ShownDefinition {
  readonly query: { readonly path: string; readonly line: number; readonly character: number };
  readonly path: string;
  readonly line: number;
  /** The source line of the definition; null if the file is not in the commit. */
  readonly text: string | null;
}

/** What a step installed before the index was made. */
export interface Installed {
  readonly packages: number;
  /** The host of npm's registry. */
  readonly registry: string;
  /** How many receipts the network has, and how many of them are refusals. */
  readonly receipts: number;
  readonly refused: number;
}

/** The results of a demo, all of them read from the run. */
export interface Report {
  readonly job: JobRecord;
  readonly phasesMs: Readonly<Record<string, number>>;
  readonly index: { readonly documents: number; readonly occurrences: number; readonly symbols: number };
  /** Null: the demo was not asked to install anything. */
  readonly installed: Installed | null;
  /** Null if the index has no reference whose definition is in another place. */
  readonly definition: ShownDefinition | null;
  /** For each kind, the larger of the executor's count and our own count after the job's end. */
  readonly leftOver: Readonly<Record<string, number>>;
}

/** The key of the step that installs. */
export const installKey = 'step.docker.pre-index.0';

const phaseNames: Readonly<Record<string, string>> = {
  'setup.workspace': 'workspace',
  'setup.image': 'image',
  'setup.vm': 'boot',
  'setup.guest': 'guest',
  'teardown.vm': 'destroyed',
  [installKey]: 'install',
};

/** Returns the demo's name for a phase. */
export function phaseName(key: string): string {
  return phaseNames[key] ?? key.replace(/^step\.docker\./, '');
}

/** Returns how long each phase of the last attempt took, in milliseconds. */
export function phasesOf(entries: Iterable<LogEntry>): Record<string, number> {
  const all = [...entries];
  const attempt = Math.max(...all.map((entry) => entry.attempt));
  return Object.fromEntries(
    all
      .filter((entry) => entry.attempt === attempt && entry.durationMs !== null)
      .map((entry) => [phaseName(entry.key), Math.round(entry.durationMs ?? 0)]),
  );
}

/** Formats milliseconds as seconds: `1.5 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

const label = (name: string) => name.padEnd(11);

/** Lays out the report that the demo prints at its end. */
export function reportLines(report: Report): string[] {
  const { job, phasesMs, index, installed, definition, leftOver } = report;
  const by = job.vmm ? ` (${job.vmm})` : '';
  const isolation = job.tier ? `${job.tier}${by}: ${tierMeaning[job.tier]}` : 'not recorded';
  const count = (value: number, what: string) => `${value.toLocaleString('en')} ${what}`;
  const phases = Object.entries(phasesMs).map(([name, ms]) => `${name} ${seconds(ms)}`);
  const lines = [
    label('isolation') + isolation,
    label('inside') + inside(job),
    ...(installed ? [label('installed') + installedText(installed)] : []),
    label('phases') + (phases.join(' · ') || 'not measured'),
    label('index') +
      [
        count(index.documents, 'documents'),
        count(index.occurrences, 'occurrences'),
        count(index.symbols, 'symbols'),
      ].join(', '),
  ];
  if (definition) {
    const { query, path, line, text } = definition;
    lines.push(`${label('')}${query.path}:${query.line}:${query.character} is defined in ${path}:${line}`);
    if (text !== null) lines.push(`${label('')}  ${text.trim().replaceAll('\t', ' ')}`);
  }
  const left = leftOverOrder
    .filter(([name]) => leftOver[name] !== undefined)
    .map(([name, text]) => `${text} ${leftOver[name]}`);
  lines.push(label('left over') + (left.join(', ') || 'not counted'));
  return lines;
}

function installedText({ packages, registry, receipts, refused }: Installed): string {
  const what = `${counted(packages, 'package')} from ${registry} through the broker`;
  return `${what}, by npm ci with its hooks; ${counted(receipts, 'receipt')} with ${counted(refused, 'refusal')}`;
}

/** What is counted after a job, in the order of the report, and its words there. A database does not keep the order of fields. */
const leftOverOrder = [
  ['processes', 'processes'],
  ['mounts', 'mounts'],
  ['namespaces', 'namespaces'],
  ['loopDevices', 'loop devices'],
  ['cgroups', 'cgroups'],
  ['files', 'files'],
] as const;

function inside({ guest, inspection }: JobRecord): string {
  if (!guest) return 'not measured';
  const others = guest.interfaces.filter((name) => name !== 'lo');
  const network = others.length === 0 ? 'no network' : `network interfaces ${others.join(', ')}`;
  return `Linux ${guest.kernel}, ${network}, ${credentials(inspection)}`;
}

function credentials(inspection: JobRecord['inspection']): string {
  if (!inspection) return 'credentials not searched for';
  const { credentials: searched, found, searchedBytes, controlFound } = inspection;
  if (!controlFound) return 'credentials: the search did not even find the marker planted for it';
  return `credentials held: ${found} (${searched} searched for in ${formatBytes(searchedBytes)} of its memory and disk; the marker planted there was found)`;
}

/** Returns the report that `--json` prints. */
export function reportJson({ job, phasesMs, index, installed, definition, leftOver }: Report): object {
  return {
    job: { id: job.id, state: job.state, attempt: job.attempt },
    isolation: { tier: job.tier, vmm: job.vmm },
    inside: { guest: job.guest, inspection: job.inspection },
    phasesMs,
    index,
    installed,
    definition,
    leftOver,
  };
}
