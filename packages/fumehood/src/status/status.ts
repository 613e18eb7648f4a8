import type { Status } from '@fumehood/protocol';
import type { State } from '../state/state.ts';
import { formatBytes } from '../state/usage.ts';
import { clientOf, findRunning } from '../up/running.ts';
import { type Part, partsOf } from './parts.ts';

/** What runs on this machine, and its state directory. */
export interface LocalStatus {
  readonly state: string;
  readonly instance: { readonly pid: number; readonly url: string } | null;
  readonly executor: { readonly pid: number; readonly name: string } | null;
  /** The status that the instance reports; null if it does not answer. */
  readonly answer: Status | null;
  readonly parts: readonly Part[];
}

/** Reads what is running in a state directory, and what the directory holds. */
export async function readStatus(state: State): Promise<LocalStatus> {
  const { instance, executor } = findRunning(state);
  const answer = instance && clientOf(state, instance.url).then((client) => client.status());
  return {
    state: state.root,
    instance: instance && { pid: instance.pid, url: instance.url },
    executor: executor && { pid: executor.pid, name: executor.name },
    answer: answer && (await answer.catch(() => null)),
    parts: await partsOf(state),
  };
}

/** Lays out the status. */
export function statusLines({ state, instance, executor, answer, parts }: LocalStatus): string[] {
  const line = (name: string, text: string) => `${name.padEnd(11)}${text}`;
  const lines = [
    line(
      'instance',
      instance ? `${instance.url} (pid ${instance.pid})` : 'not running: `fumehood up` starts it',
    ),
    line('executor', executor ? `${executor.name} (pid ${executor.pid})` : 'not running'),
  ];
  if (instance && !answer) lines.push(line('', 'the instance does not answer'));
  if (answer) {
    lines.push(line('isolation', answer.tiers.join(', ') || 'none: see `fumehood doctor`'));
    lines.push(line('jobs', `${answer.jobs.queued} queued, ${answer.jobs.processing} processing`));
  }
  lines.push(line('state', state));
  for (const part of parts) lines.push(line('', `${formatBytes(part.bytes).padStart(10)}  ${part.name}`));
  return lines;
}
