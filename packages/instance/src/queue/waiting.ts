import { type JobRecord, tierMeaning, type Why } from '@fumehood/protocol';
import type { ConnectedExecutor } from './sql/executors.ts';
import type { QueuePosition } from './sql/shares.ts';

/** Why a queued job cannot start on any connected executor, and what to do; null when it just waits its turn. */
export function whyNoExecutorFits(
  job: JobRecord,
  connected: readonly ConnectedExecutor[],
): JobRecord['waiting'] {
  if (job.state !== 'queued' && job.state !== 'errored') return null;
  const known = connected.filter((executor) => executor.queues.includes(job.queue));
  const serving = known.filter((executor) => !executor.draining);
  if (serving.length === 0 && known.length > 0) return allDrain(job, known);
  if (serving.length === 0) {
    return {
      reason: 'no_executor',
      message: `no executor for ${job.queue} is connected`,
      remedy:
        'Start one: `fumehood up` on this machine, or an executor elsewhere with this instance as its URL.',
    };
  }
  const speaking = serving.filter((executor) => executor.native || !job.needsNative);
  if (speaking.length === 0) {
    return {
      reason: 'native_not_offered',
      message:
        "its images are archives, which the connected executors, all of upstream's kind, have no way to",
      remedy: 'Connect an executor of Fumehood, or name the images by their reference in a registry.',
    };
  }
  const accepted = speaking.filter((executor) => executor.tiers.some((tier) => job.accept.includes(tier)));
  if (accepted.length === 0) return noTier(job, speaking);
  const built = accepted.filter((executor) => job.arch === null || executor.arch === job.arch);
  if (built.length === 0) {
    return {
      reason: 'arch_not_offered',
      message: `it wants ${job.arch}; no connected executor that it accepts has such processors`,
      remedy: `Connect an executor on ${job.arch}, or ask for another architecture.`,
    };
  }
  const labeled = built.filter((executor) => job.labels.every((label) => executor.labels.includes(label)));
  if (labeled.length === 0) return noLabels(job, built);
  const big = labeled.some(
    (executor) =>
      (executor.cpus ?? Infinity) >= job.resources.cpus &&
      (executor.memory_mib ?? Infinity) >= job.resources.memoryMiB &&
      (executor.scratch_mib ?? Infinity) >= job.resources.scratchMiB,
  );
  if (big) return null;
  return {
    reason: 'too_big',
    message: `it wants ${job.resources.cpus} CPUs, ${job.resources.memoryMiB} MiB of memory and ${job.resources.scratchMiB} MiB of disk; no connected executor has that much`,
    remedy: 'Ask for less, or connect a bigger executor.',
  };
}

function allDrain(job: JobRecord, known: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const names = known.map((executor) => executor.name).join(', ');
  return {
    reason: 'executors_drain',
    message: `every connected executor for ${job.queue} was told to lease nothing more: ${names}`,
    remedy: `Let one of them lease again (\`fumehood executors resume ${known[0]?.name ?? ''}\`), or connect another.`,
  };
}

function noLabels(job: JobRecord, built: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const missing = job.labels.filter((label) => !built.some((executor) => executor.labels.includes(label)));
  return {
    reason: 'label_not_offered',
    message:
      missing.length > 0
        ? `no connected executor has the label ${missing.join(', ')}`
        : `no connected executor has all of the labels ${job.labels.join(', ')}`,
    remedy: 'Give an executor the label (`labels` in its configuration), or ask for others.',
  };
}

function noTier(job: JobRecord, serving: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const offered = [...new Set(serving.flatMap((executor) => executor.tiers))];
  const accepted = job.accept.join(' or ');
  if (offered.length === 0) {
    return {
      reason: 'tier_not_offered',
      message: `it accepts ${accepted}; the connected executors cannot run any VM`,
      remedy: 'Run `fumehood doctor` on their machines: it says why, and what to do.',
    };
  }
  const meanings = offered.map((tier) => `${tier} (${tierMeaning[tier]})`).join('; ');
  return {
    reason: 'tier_not_offered',
    message: `it accepts ${accepted}; the connected executors offer ${meanings}`,
    remedy: `If that is enough for this code, accept it: \`--accept ${offered[0]}\`. Else connect an executor that offers ${accepted}.`,
  };
}

/** What is said of a job that waits its turn or its time, or cannot run here; null when it waits for nothing. */
export function explainWait(
  job: JobRecord,
  connected: readonly ConnectedExecutor[],
  position: QueuePosition | undefined,
  now: Date,
): Why {
  const { state } = job;
  if (!position) return { state, waiting: null, ahead: null, share: null, expectedStartAt: null };
  const ahead = position.own + position.others;
  const where = { state, ahead, share: position.share };
  const cannot = whyNoExecutorFits(job, connected);
  if (cannot) return { ...where, waiting: cannot, expectedStartAt: null };
  const notBefore = job.processAfter === null ? now : new Date(job.processAfter);
  const turn = position.pace === null ? null : now.getTime() + ((ahead + 1) / position.pace) * 1000;
  const expected = turn === null ? null : new Date(Math.max(turn, notBefore.getTime())).toISOString();
  if (notBefore > now) {
    const message =
      state === 'errored'
        ? `its last attempt failed; it is tried again from ${job.processAfter} on`
        : `it was told not to start before ${job.processAfter}`;
    return {
      ...where,
      waiting: { reason: 'later', message, remedy: 'Wait, or cancel it.' },
      expectedStartAt: expected,
    };
  }
  const percent = Math.round(position.share * 100);
  return {
    ...where,
    waiting: {
      reason: 'turn',
      message: `${ahead} ahead, ${position.own} of them of ${job.tenant}, whose share is ${percent} %`,
      remedy: 'Wait, connect more executors, or have the weight of the share changed.',
    },
    expectedStartAt: expected,
  };
}
