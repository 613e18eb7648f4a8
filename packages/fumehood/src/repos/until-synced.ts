import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@fumehood/client';
import type { RepositoryRecord } from '@fumehood/protocol';
import { note } from '../cli/print.ts';
import { syncFailed } from '../errors.ts';

/** Pause between two looks, milliseconds. */
const pauseMs = 300;
/** A sync that takes longer is told of, milliseconds. */
const noteMs = 2_000;

/** Waits until a repository was synced after this record was read, and returns its record. Errors: `sync_failed`. */
export async function untilSynced(client: Client, before: RepositoryRecord): Promise<RepositoryRecord> {
  const begun = performance.now();
  let told = false;
  for (;;) {
    const now = await client.repositories.show(before.name);
    if (now.triedAt !== before.triedAt) {
      if (now.failure !== null) throw syncFailed(before.name, now.failure);
      return now;
    }
    if (!told && performance.now() - begun > noteMs) {
      note(`syncing ${before.name}`);
      told = true;
    }
    await sleep(pauseMs);
  }
}
