import {
  factsOf,
  readConfig,
  remoteSpawn,
  reportFailed,
  reportStarted,
  logLines,
  systemClock,
} from '@fumehood/base';
import { pino } from 'pino';
import { instanceConfigSchema } from './config.ts';
import type { Listening } from './helper/messages.ts';
import { startInstance } from './instance.ts';

/** The instance's unprivileged process: `main.ts CONFIG`, a child of its helper. */
const log = pino({ base: null }, logLines);

try {
  const config = await readConfig(instanceConfigSchema, process.argv[2] ?? '');
  const instance = await startInstance(config, { clock: systemClock, spawn: remoteSpawn(), log });
  let closing = false;
  const close = async () => {
    if (closing) return;
    closing = true;
    await instance.close();
    process.exit(0);
  };
  process.on('SIGTERM', () => void close());
  process.on('SIGINT', () => void close());
  // Without its helper the instance can have no git run, and the database ends too.
  process.on('disconnect', () => void close());
  await reportStarted({ url: instance.url, port: instance.port } satisfies Listening);
  log.info({ url: instance.url, tlsPort: instance.tlsPort }, 'listening');
} catch (error) {
  log.error({ error: factsOf(error) }, 'the instance did not start');
  await reportFailed(error);
  process.exit(1);
}
