import type { Clock } from '@fumehood/base';
import type { JobClient } from './job-client.ts';
import type { EntryFacts, PhaseLog } from './log-entry.ts';
import { nativePhaseLog } from './native-log.ts';
import { redact, redactor } from './redact.ts';
import { upstreamPhaseLog } from './upstream-log.ts';

/** Begins a log entry for a phase. The values that the job wants hidden are taken out of its command and its output. */
export async function openPhaseLog(
  client: JobClient,
  clock: Clock,
  key: string,
  command: readonly string[],
): Promise<PhaseLog> {
  const { redactions } = client;
  const started = clock.bootTime();
  const facts: EntryFacts = {
    key,
    command: command.map((argument) => redact(argument, redactions)),
    startTime: new Date(clock.now()).toISOString(),
  };
  const entry = await client.addEntry(facts);
  const log = client.native
    ? nativePhaseLog(client, clock, started, entry, facts)
    : upstreamPhaseLog(clock, started, (text) => client.updateEntry(entry, facts, text));
  const redactors = { stdout: redactor(redactions), stderr: redactor(redactions) };
  return {
    write: (stream, chunk) => log.write(stream, redactors[stream].write(chunk)),
    async end(exitCode) {
      await log.write('stdout', redactors.stdout.end());
      await log.write('stderr', redactors.stderr.end());
      await log.end(exitCode);
    },
  };
}
