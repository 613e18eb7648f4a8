import { factsOf, remoteSpawn, stderrLines, systemClock } from '@fumehood/base';
import { pino } from 'pino';
import { type InstanceMessage, instanceConfigSchema, readConfig } from './config.ts';
import { startInstance } from './instance.ts';

/** The instance's unprivileged process: `main.ts CONFIG`, a child of the keeper. */
const log = pino({ base: null }, stderrLines);
const tell = (message: InstanceMessage) =>
  new Promise<void>((resolve) => {
    if (process.connected && process.send) process.send(message, () => resolve());
    else resolve();
  });

try {
  const config = readConfig(instanceConfigSchema, process.argv[2] ?? '');
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
  // Without its keeper nobody runs git for it, and the database goes too.
  process.on('disconnect', () => void close());
  await tell({ type: 'instance.listening', url: instance.url, port: instance.port });
  log.info({ url: instance.url, tlsPort: instance.tlsPort }, 'listening');
} catch (error) {
  const { code, message, remedy } = factsOf(error);
  log.error({ error }, 'the instance did not start');
  await tell({ type: 'instance.failed', error: { code, message, ...(remedy && { remedy }) } });
  process.exit(1);
}
