import { batchVersion, type JobRecord, type NetworkCeiling, tierMeaning, type Why } from '@fumehood/protocol';
import { modeUnder } from './network.ts';
import type { ConnectedExecutor } from './sql/executors.ts';
import type { QueuePosition } from './sql/shares.ts';

/** A job, and the ceilings of its network that are in force. */
export interface WaitingJob {
  readonly job: JobRecord;
  readonly ceilings: readonly NetworkCeiling[];
}

/** Returns why no connected executor can run a waiting job, and what to do; null if one can, or if the job does not wait. */
export function whyNoExecutorFits(
  waiting: WaitingJob,
  connected: readonly ConnectedExecutor[],
): JobRecord['waiting'] {
  const { job } = waiting;
  if (job.state !== 'queued' && job.state !== 'errored') return null;
  const reason = unmetDemand(
    waiting,
    connected.filter((executor) => !executor.draining && executor.trouble === null),
  );
  if (reason === null) return null;
  const draining = connected.filter((executor) => executor.draining && fits(waiting, executor));
  const troubled = connected.filter((executor) => executor.trouble !== null && fits(waiting, executor));
  if (troubled.length > 0) return allTroubled(troubled);
  if (draining.length > 0) return allDraining(draining);
  return reason.reason === 'no_executor' ? unmetDemand(waiting, connected) : reason;
}

const fits = (waiting: WaitingJob, executor: ConnectedExecutor) => unmetDemand(waiting, [executor]) === null;

/** Returns the first demand of a job that none of the executors meets; null if one of them meets them all. */
function unmetDemand(waiting: WaitingJob, connected: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const { job } = waiting;
  const forQueue = connected.filter((executor) => executor.queues.includes(job.queue));
  if (forQueue.length === 0) {
    return {
      reason: 'no_executor',
      message: `no executor for ${job.queue} is connected`,
      remedy:
        'Start one: `fumehood up` on this machine, or an executor elsewhere with this instance as its URL.',
    };
  }
  const understanding = forQueue.filter((executor) => executor.native || !job.needsNative);
  if (understanding.length === 0) {
    return {
      reason: 'native_not_offered',
      message:
        "its images are archives, and the connected executors, all of upstream's kind, cannot fetch those",
      remedy: 'Connect an executor of Fumehood, or name the images by their references in a registry.',
    };
  }
  const current = understanding.filter(({ protocol }) => (protocol ?? Infinity) >= job.needsVersion);
  if (current.length === 0) return tooOld(job, understanding);
  const accepted = current.filter((executor) => executor.tiers.some((tier) => job.accept.includes(tier)));
  if (accepted.length === 0) return noTier(job, current);
  const withArch = accepted.filter((executor) => job.arch === null || executor.arch === job.arch);
  if (withArch.length === 0) {
    return {
      reason: 'arch_not_offered',
      message: `it needs ${job.arch}, and no connected executor of an accepted tier runs on it`,
      remedy: `Connect an executor on ${job.arch}, or request another architecture.`,
    };
  }
  const withLabels = withArch.filter((executor) =>
    job.labels.every((label) => executor.labels.includes(label)),
  );
  if (withLabels.length === 0) return noLabels(job, withArch);
  const mode = modeOf(waiting);
  const usesBroker = (job.network?.broker.length ?? 0) > 0;
  const reached = withLabels.filter(
    ({ egress }) => egress === null || (egress.includes(mode) && (!usesBroker || egress.includes('allow'))),
  );
  if (reached.length === 0) return noNetwork(waiting, withLabels);
  const hasRoom = reached.some(
    (executor) =>
      (executor.cpus ?? Infinity) >= job.resources.cpus &&
      (executor.memory_mib ?? Infinity) >= job.resources.memoryMiB &&
      (executor.scratch_mib ?? Infinity) >= job.resources.scratchMiB,
  );
  if (hasRoom) return null;
  return {
    reason: 'too_big',
    message: `it needs ${job.resources.cpus} CPUs, ${job.resources.memoryMiB} MiB of memory and ${job.resources.scratchMiB} MiB of disk; no connected executor has that much`,
    remedy: 'Request less, or connect a bigger executor.',
  };
}

/** Returns how far a job reaches under the ceilings. */
const modeOf = ({ job, ceilings }: WaitingJob) => modeUnder(job.network?.asked ?? { mode: 'none' }, ceilings);

function tooOld(job: JobRecord, executors: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const names = executors.map(({ name, version }) => `${name} (${version || 'of an unknown version'})`);
  const what =
    job.needsVersion < batchVersion
      ? 'it has a workspace, artifacts, a terminal or secrets, which executors below'
      : 'it is a part of a batch change, whose steps executors below';
  return {
    reason: 'version_not_offered',
    message: `${what} version ${job.needsVersion} of the native protocol may ignore, and the connected ones are older: ${names.join(', ')}`,
    remedy: 'Update an executor to the version of the instance.',
  };
}

function noNetwork(waiting: WaitingJob, executors: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const names = executors.map(({ name }) => name).join(', ');
  const mode = modeOf(waiting);
  const reason = 'network_not_offered';
  if (executors.every(({ native }) => !native)) {
    const policy = mode === 'none' ? 'no network' : 'only some hosts of the network';
    return {
      reason,
      message: `it may reach ${policy}, and the executors that could run it are of upstream's kind, which let every job reach the internet: ${names}`,
      remedy:
        'Connect an executor of Fumehood, or have the job and the ceilings of the instance allow `public`.',
    };
  }
  return {
    reason,
    message: `it needs a network (${mode === 'none' ? 'for the broker' : mode}), and no executor that could run it can give it one: ${names}`,
    remedy:
      'Connect an executor of this version that runs as root on a machine with nftables and /dev/net/tun, and whose `egressCeiling` is not "none"; or ask for no network (`none`) and no broker.',
  };
}

function allDraining(draining: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const names = draining.map((executor) => executor.name).join(', ');
  return {
    reason: 'executors_drain',
    message: `every connected executor that could run it is draining and leases no more jobs: ${names}`,
    remedy: `Let one of them lease again (\`fumehood executors resume ${draining[0]?.name ?? ''}\`), or connect another.`,
  };
}

function allTroubled(troubled: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const reasons = troubled.map(({ name, trouble }) => `${name} (${trouble})`).join(', ');
  return {
    reason: 'executors_troubled',
    message: `every executor that could run it leases no more jobs, because several failed there for a reason of the machine: ${reasons}`,
    remedy:
      'Run `fumehood doctor` on these machines. Each tries a canary from time to time, and leases again when the canary boots.',
  };
}

function noLabels(job: JobRecord, executors: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const missing = job.labels.filter(
    (label) => !executors.some((executor) => executor.labels.includes(label)),
  );
  return {
    reason: 'label_not_offered',
    message:
      missing.length > 0
        ? `no connected executor has the label ${missing.join(', ')}`
        : `no connected executor has all of the labels ${job.labels.join(', ')}`,
    remedy: 'Give an executor the labels (`labels` in its configuration), or request others.',
  };
}

function noTier(job: JobRecord, executors: readonly ConnectedExecutor[]): JobRecord['waiting'] {
  const offered = [...new Set(executors.flatMap((executor) => executor.tiers))];
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
    remedy: `If that isolation is enough for this code, accept it: \`--accept ${offered[0]}\`. Otherwise connect an executor that offers ${accepted}.`,
  };
}

/**
 * Explains why a job has not started: no executor can run it, its time has not come, or it waits its turn. Adds its position
 * and an estimate of its start. The answer's `waiting` is null for a job that does not wait (`position` is undefined).
 */
export function explainWait(
  of: WaitingJob,
  connected: readonly ConnectedExecutor[],
  position: QueuePosition | undefined,
  now: Date,
): Why {
  const { job } = of;
  const { state } = job;
  if (!position) return { state, waiting: null, ahead: null, share: null, expectedStartAt: null };
  const ahead = position.own + position.others;
  const where = { state, ahead, share: position.share };
  const cannot = whyNoExecutorFits(of, connected);
  if (cannot) return { ...where, waiting: cannot, expectedStartAt: null };
  const notBefore = job.processAfter === null ? now : new Date(job.processAfter);
  const turn = position.pace === null ? null : now.getTime() + ((ahead + 1) / position.pace) * 1000;
  const expected = turn === null ? null : new Date(Math.max(turn, notBefore.getTime())).toISOString();
  if (notBefore > now) {
    const message =
      state === 'errored'
        ? `its last attempt failed; it is retried from ${job.processAfter} on`
        : `it must not start before ${job.processAfter}, as its request says`;
    return {
      ...where,
      waiting: { reason: 'later', message, remedy: 'Wait, or cancel it.' },
      expectedStartAt: expected,
    };
  }
  const able = connected.filter(
    (executor) => !executor.draining && executor.trouble === null && fits(of, executor),
  );
  if (able.every((executor) => executor.pausing)) {
    const names = able.map((executor) => executor.name).join(', ');
    return {
      ...where,
      waiting: {
        reason: 'executors_pause',
        message: `every executor that could run it has lost a lease lately, and gets no job before its next heartbeat and a pause: ${names}`,
        remedy:
          'Wait up to a minute. If it happens again, check the network and the load of these executors.',
      },
      expectedStartAt: expected,
    };
  }
  const percent = Math.round(position.share * 100);
  return {
    ...where,
    waiting: {
      reason: 'turn',
      message: `jobs ahead of it: ${ahead} (${position.own} of ${job.tenant}, whose share is ${percent} %)`,
      remedy: 'Wait, connect more executors, or ask an admin to change the weight of the share.',
    },
    expectedStartAt: expected,
  };
}
