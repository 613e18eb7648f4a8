import {
  type EgressMode,
  egressModeSchema,
  type EgressPolicy,
  egressPolicyText,
  type JobRecord,
  narrowEgress,
  type NetworkCeiling,
} from '@fumehood/protocol';

/** A job's record as the SQL function `job_record` makes it. One that an older build has stored lacks `network`. */
export type StoredRecord = Omit<JobRecord, 'network'> & {
  readonly network?: {
    readonly asked: EgressPolicy;
    readonly ceilings: readonly NetworkCeiling[] | null;
    readonly broker: string[];
  };
};

/** Returns a job's record as people see it. */
export function recordOf(stored: StoredRecord): JobRecord {
  const { network, ...rest } = stored;
  if (!network) return rest;
  const { asked, ceilings, broker } = network;
  const narrowedBy = ceilings?.filter(({ policy }) => narrows(policy, asked)) ?? [];
  return {
    ...rest,
    network: { asked, applied: ceilings && underCeilings(asked, ceilings), narrowedBy, broker },
  };
}

/** Returns what a job may reach that asks for this under these ceilings. */
export function underCeilings(asked: EgressPolicy, ceilings: readonly NetworkCeiling[]): EgressPolicy {
  return ceilings.reduce((policy, ceiling) => narrowEgress(ceiling.policy, policy), asked);
}

/** Returns whether a ceiling takes something away from what a job asks for. */
function narrows(ceiling: EgressPolicy, asked: EgressPolicy): boolean {
  const narrowed = narrowEgress(ceiling, asked);
  return narrowed !== asked && egressPolicyText(narrowed) !== egressPolicyText(narrowEgress(asked, asked));
}

/** Returns how far a job reaches under these ceilings, as the lease compares it: two lists without a common host count as `allow`. */
export function modeUnder(asked: EgressPolicy, ceilings: readonly NetworkCeiling[]): EgressMode {
  const modes = egressModeSchema.options; // as the type `egress_mode` of the database has them
  const places = [asked, ...ceilings.map(({ policy }) => policy)].map(({ mode }) => modes.indexOf(mode));
  return modes[Math.min(...places)] as EgressMode;
}
