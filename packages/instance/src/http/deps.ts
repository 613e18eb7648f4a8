import type { Clock, Spawn } from '@fumehood/base';
import type { FastifyInstance } from 'fastify';
import type { JobAuth } from '../auth/job.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Upstream } from '../config.ts';
import type { Db } from '../db/connect.ts';
import type { Health } from '../db/health.ts';
import type { Wakes } from '../db/wakes.ts';
import type { QueueKinds } from '../queue/kind.ts';
import type { Mirrors } from '../repos/mirrors.ts';
import type { CommitStore } from '../repos/store.ts';
import type { Vault } from '../secrets/vault.ts';
import type { Staging } from '../staging.ts';
import type { RequestLimits } from './limits.ts';
import type { Turns } from './turns.ts';

/** What every group of routes gets. */
export interface RouteDeps {
  readonly version: string;
  readonly upstream: Upstream;
  /** The URL by which other machines reach the instance; null if nobody has said it. */
  readonly url: string | null;
  readonly db: Db;
  /** Another pool of connections to the same database; `db` of the groups in `reservedRoutes`. */
  readonly reservedDb: Db;
  readonly limits: RequestLimits;
  readonly turns: Turns;
  readonly health: Health;
  readonly wakes: Wakes;
  readonly clock: Clock;
  /** Has git run by the instance's helper. */
  readonly spawn: Spawn;
  readonly kinds: QueueKinds;
  readonly staging: Staging;
  readonly blobs: BlobStore;
  readonly commits: CommitStore;
  readonly mirrors: Mirrors;
  /** Encrypts and decrypts what the instance has to show again. */
  readonly vault: Vault;
  readonly jobAuth: JobAuth;
  /** Aborted when the instance is about to close; held requests and streams end then. */
  readonly stopping: AbortSignal;
}

/** Registers one group of routes on a Fastify scope of its own, so that its hooks and body parsers concern no other group. */
export type Routes = (scope: FastifyInstance, deps: RouteDeps) => void | Promise<void>;
