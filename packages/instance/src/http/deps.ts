import type { Clock } from '@fumehood/base';
import type { JobAuth } from '../auth/job.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Upstream } from '../config.ts';
import type { Db } from '../db/connect.ts';
import type { Wakes } from '../db/wakes.ts';
import type { QueueKinds } from '../queue/kind.ts';

/** What the routes stand on. */
export interface HttpDeps {
  readonly version: string;
  readonly upstream: Upstream;
  readonly db: Db;
  readonly wakes: Wakes;
  readonly clock: Clock;
  readonly kinds: QueueKinds;
  readonly blobs: BlobStore;
  readonly jobAuth: JobAuth;
  /** Aborted when the instance is about to close: held requests and streams end. */
  readonly stopping: AbortSignal;
}
