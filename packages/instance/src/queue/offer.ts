import {
  type Arch,
  type EgressMode,
  egressModeSchema,
  type QueueName,
  type Tier,
  upstreamVersion,
  wholeJobVersion,
} from '@fumehood/protocol';

/** What an executor that asks for a job can run. */
export interface Offer {
  readonly executor: string;
  readonly queues: readonly QueueName[];
  readonly tiers: readonly Tier[];
  /** Null: not declared. The executor gets only jobs that run on any architecture. */
  readonly arch: Arch | null;
  readonly labels: readonly string[];
  /** Null: not declared. No job is too big for the executor. */
  readonly free: { readonly cpus: number; readonly memoryMiB: number; readonly scratchMiB: number } | null;
  /** The version of the native protocol; 0: it is of upstream's kind. */
  readonly protocol: number;
  /** The modes of a policy that it can hold a job to. */
  readonly egress: readonly EgressMode[];
}

/**
 * Returns the modes of a policy that an executor can hold a job to. Those of upstream's kind give every guest the internet, and are told
 * nothing of a policy. A native one without a network, or of a version that may ignore the policy, gives its guests none.
 */
export function egressOf(protocol: number, network: boolean): readonly EgressMode[] {
  if (protocol === upstreamVersion) return ['public'];
  return network && protocol >= wholeJobVersion ? egressModeSchema.options : ['none'];
}

/** Checks whether every job that fits `less` also fits `more`. */
export function covers(more: Offer, less: Offer): boolean {
  const includesAll = (few: readonly string[], many: readonly string[]) =>
    few.every((one) => many.includes(one));
  const hasRoom =
    more.free === null ||
    (less.free !== null &&
      less.free.cpus <= more.free.cpus &&
      less.free.memoryMiB <= more.free.memoryMiB &&
      less.free.scratchMiB <= more.free.scratchMiB);
  return (
    hasRoom &&
    includesAll(less.queues, more.queues) &&
    includesAll(less.tiers, more.tiers) &&
    includesAll(less.labels, more.labels) &&
    (less.arch === null || less.arch === more.arch) &&
    less.protocol <= more.protocol &&
    includesAll(less.egress, more.egress)
  );
}

/** Returns the same key for offers that differ in nothing but the executor's name. */
export function offerKey(offer: Offer): string {
  return JSON.stringify({ ...offer, executor: '' });
}
