import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openClient } from '@fumehood/client';

/** Prints the log entries `setup.vm` of the two newest jobs of the running instance: `FUMEHOOD_STATE=… node test/nested/vm-log.ts`. */
const run = join(process.env.FUMEHOOD_STATE ?? '', 'run');
const { socket } = JSON.parse(readFileSync(join(run, 'instance.json'), 'utf8')) as { socket: string };
const token = readFileSync(join(run, 'token'), 'utf8').trim();
const client = openClient({ url: `unix:${socket}`, token });
const { jobs } = await client.jobs({ limit: 2 });
for (const { id: job } of jobs.toReversed()) {
  const texts = new Map<number, string>();
  for await (const event of client.events(job, { follow: false })) {
    if (event.type === 'output')
      texts.set(event.entry, (texts.get(event.entry) ?? '') + Buffer.from(event.data, 'base64').toString());
    if (event.type === 'entry' && event.entry.key === 'setup.vm' && event.entry.durationMs !== null)
      console.log(
        `job ${job}: setup.vm in ${event.entry.durationMs} ms: ${texts.get(event.entry.entry)?.trimEnd()}`,
      );
  }
}
