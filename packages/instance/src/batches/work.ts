import type { Clock } from '@fumehood/base';
import type { Logger } from 'pino';
import { batchWorkTopic } from '../db/topics.ts';
import type { Wakes } from '../db/wakes.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import type { BuildDeps } from '../changesets/build.ts';
import { buildNext } from './build.ts';
import { type StartDeps, startNext } from './execution/start.ts';
import { resolveNext } from './resolve/resolve.ts';

interface BatchDeps extends StartDeps, BuildDeps {
  readonly blobs: BuildDeps['blobs'];
  readonly mirrors: Mirrors;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn' | 'error'>;
}

/** How often a replica looks for batch specs that have work for it, milliseconds. */
const pollMs = 5_000;

/**
 * Finds the workspaces of batch specs, starts them and has changeset specs made of their results, until `signal` is aborted. Any number of
 * replicas may do this at once.
 */
export async function workOnBatchSpecs(deps: BatchDeps, wakes: Wakes, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  const work = async (what: string, next: () => Promise<boolean>) => {
    const requests = wakes.subscribe(batchWorkTopic);
    while (!signal.aborted)
      try {
        if (!(await next())) await requests.next(pollMs, signal);
      } catch (error) {
        log.error({ error }, `${what} failed; the next round tries again`);
        await clock.sleep(pollMs, signal).catch(() => {});
      }
    requests.close();
  };
  await Promise.all([
    work('finding workspaces of batch specs', () => resolveNext(deps, signal)),
    work('starting workspaces of batch specs', () => startNext(deps)),
    work('making changeset specs', () => buildNext(deps)),
  ]);
}
