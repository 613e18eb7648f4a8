import type { Clock, FileCache, FileCacheUse, Spawn } from '@fumehood/base';
import type { BrokerGrant, EgressPolicy, Tier } from '@fumehood/protocol';
import type { FetchMemory, Registries } from '@fumehood/oci';
import type { Vmms } from '../../host/vmms.ts';
import type { UpstreamJobs } from '../../settings.ts';
import type { UploadClient } from '../../upload/upload.ts';
import type { Credential } from '../../uplink/credential.ts';
import type { Route } from '../../uplink/network-route.ts';
import type { RunResult } from '../runtime.ts';
import type { GuestLimits } from './guest-limits.ts';
import type { PhaseDeps } from './phase.ts';
import type { JobReceipts } from './receipts.ts';
import type { ValidatedJob } from './validate-job.ts';
import type { Stage } from './verdict.ts';
import type { AgentVm, VmSource } from './vm-source.ts';

/** What the runtime needs for every job. */
export interface MicrovmDeps {
  readonly vms: VmSource;
  /** The VMMs of these VMs. The name of its VMM is stored with every attempt. */
  readonly vmms: Vmms;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly instanceUrl: string;
  readonly executorName: string;
  /** No job may hold this credential. An inspection searches the VM for it. */
  readonly credential: Pick<Credential, 'secret'>;
  readonly upstream: UpstreamJobs;
  readonly guestLimits: GuestLimits;
  readonly tiers: readonly Tier[];
  /** The files in `disks` and `blobs`. */
  readonly cache: FileCache;
  readonly directories: {
    /** Read-only disks. The helper opens them by their names. */
    readonly disks: string;
    /** Image archives. */
    readonly blobs: string;
    /** Has one directory for each running job, removed at the job's end. */
    readonly work: string;
  };
  readonly uploadClient: UploadClient;
  /** The bundled disk maker, which runs on the same Node. */
  readonly diskMaker: string;
  readonly registries: Registries;
  /** How this machine reaches others: registries are asked through its proxy, too. */
  readonly route: Pick<Route, 'proxy'>;
  /** Docker's `config.json`, with the credentials of this executor for registries. */
  readonly registryAuthFile: string | null;
  /** Largest image of a registry. */
  readonly imageMaxMiB: number;
  /** Whether guests can have a network. */
  readonly network: boolean;
  /** What guests may reach at most. */
  readonly egressCeiling: EgressPolicy;
}

/** What a run measures while it goes on. */
export type Measured = { -readonly [K in keyof Omit<RunResult, 'tier' | 'vmm'>]: RunResult[K] };

export interface RunDeps extends MicrovmDeps {
  readonly fetchMemory: FetchMemory;
}

/** One run of a job, while it goes on. */
export interface Run extends PhaseDeps {
  readonly deps: RunDeps;
  readonly job: ValidatedJob;
  readonly measured: Measured;
  readonly cache: FileCacheUse;
  vm: AgentVm | null;
  stage: Stage;
  /** What the guest may reach: what the job asks for, within the ceiling of this executor. */
  readonly policy: EgressPolicy;
  /** The entries of the broker that the guest can use, under every policy. */
  readonly broker: readonly BrokerGrant[];
  readonly receipts: JobReceipts;
  /** Ends the running step; null while no step runs. */
  endStep: (() => void) | null;
}

/** Whether the guest of a run has a network. */
export const hasNetwork = ({ policy, broker }: Run) => policy.mode !== 'none' || broker.length > 0;
