import { type JobRecord, tierMeaning } from '@glovebox/protocol';
import type { JobRow } from './job.ts';
import type { ConnectedExecutor } from './sql/executors.ts';

/** Why a queued job cannot start on any connected executor, and what to do; null when it just waits its turn. */
export function whyWaiting(job: JobRow, connected: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  if (job.state !== 'queued' && job.state !== 'errored') return null;
  const serving = connected.filter((executor) => executor.queues.includes(job.queue));
  if (serving.length === 0) {
    return {
      reason: 'no_executor',
      message: `no executor for ${job.queue} is connected`,
      remedy:
        'Start one: `glovebox up` on this machine, or an executor elsewhere with this instance as its URL.',
    };
  }
  const fitting = serving.filter((executor) => executor.tiers.some((tier) => job.accept.includes(tier)));
  if (fitting.length === 0) return noTier(job, serving);
  const big = fitting.some(
    (executor) =>
      (executor.cpus ?? Infinity) >= job.cpus &&
      (executor.memory_mib ?? Infinity) >= job.memory_mib &&
      (executor.scratch_mib ?? Infinity) >= job.scratch_mib,
  );
  if (big) return null;
  return {
    reason: 'too_big',
    message: `it wants ${job.cpus} CPUs, ${job.memory_mib} MiB of memory and ${job.scratch_mib} MiB of disk; no connected executor has that much`,
    remedy: 'Ask for less, or connect a bigger executor.',
  };
}

function noTier(job: JobRow, serving: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const offered = [...new Set(serving.flatMap((executor) => executor.tiers))];
  const accepted = job.accept.join(' or ');
  if (offered.length === 0) {
    return {
      reason: 'tier_not_offered',
      message: `it accepts ${accepted}; the connected executors cannot run any VM`,
      remedy: 'Run `glovebox doctor` on their machines: it says why, and what to do.',
    };
  }
  const meanings = offered.map((tier) => `${tier} (${tierMeaning[tier]})`).join('; ');
  return {
    reason: 'tier_not_offered',
    message: `it accepts ${accepted}; the connected executors offer ${meanings}`,
    remedy: `If that is enough for this code, accept it: \`--accept ${offered[0]}\`. Else connect an executor that offers ${accepted}.`,
  };
}
