import type { Status } from '@fumehood/protocol';
import type { State } from '../state/state.ts';
import { formatBytes } from '../state/usage.ts';
import { clientOf, findRunning } from '../up/running.ts';
import { type Part, partsOf } from './parts.ts';

/** What runs on this machine, and its state directory. */
export interface LocalStatus {
  readonly state: string;
  /** Without a URL it is starting. */
  readonly instance: { readonly pid: number; readonly url: string | null } | null;
  readonly executor: { readonly pid: number; readonly name: string; readonly isReady: boolean } | null;
  /** The status that the instance reports; null if it does not answer. */
  readonly report: Status | null;
  readonly parts: readonly Part[];
}

/** Reads what is running in a state directory, and what the directory holds. */
export async function readStatus(state: State): Promise<LocalStatus> {
  const { instance, executor } = findRunning(state);
  const address = instance?.address ?? null;
  const report = address && clientOf(state, address).then((client) => client.status());
  return {
    state: state.root,
    instance: instance && { pid: instance.pid, url: address?.url ?? null },
    executor: executor && { pid: executor.pid, name: executor.name, isReady: executor.isReady },
    report: report && (await report.catch(() => null)),
    parts: await partsOf(state),
  };
}

/** Lays out the status. */
export function statusLines({ state, instance, executor, report, parts }: LocalStatus): string[] {
  const line = (name: string, text: string) => `${name.padEnd(11)}${text}`;
  const lines = [
    line(
      'instance',
      instance
        ? `${instance.url ?? 'starting'} (pid ${instance.pid})`
        : 'not running: `fumehood up` starts it',
    ),
    line(
      'executor',
      executor
        ? `${executor.name}${executor.isReady ? '' : ', starting'} (pid ${executor.pid})`
        : 'not running',
    ),
  ];
  if (instance?.url && !report) lines.push(line('', 'the instance does not answer'));
  if (report) {
    lines.push(line('isolation', report.tiers.join(', ') || 'none: see `fumehood doctor`'));
    lines.push(line('jobs', `${report.jobs.queued} queued, ${report.jobs.processing} processing`));
  }
  lines.push(line('state', state));
  for (const part of parts) lines.push(line('', `${formatBytes(part.bytes).padStart(10)}  ${part.name}`));
  return lines;
}
