import type { Client } from '@fumehood/client';
import { watchJob } from '../run/watch.ts';
import { write } from '../run/write.ts';

/** Writes what a job's steps print, from its first attempt on, until it has ended. */
export async function followLogs(client: Client, id: number, phases: boolean): Promise<void> {
  await watchJob(client, id, {
    onPhase(entry) {
      if (!phases) return;
      const end =
        entry.durationMs === null ? 'began' : `ended with ${entry.exitCode} after ${entry.durationMs} ms`;
      process.stderr.write(`attempt ${entry.attempt}: ${entry.key} ${end}\n`);
    },
    async onOutput(entry, stream, bytes) {
      if (entry.key.startsWith('step.')) await write(process[stream], bytes);
    },
  });
}
