import { factsOf, stderrLines, systemClock } from '@fumehood/base';
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import { helperConfigSchema } from './config.ts';
import { startHelper } from './helper.ts';

/** The executor's privileged process: `main.ts CONFIG`. SIGTERM drains, a second one stops. */
const log = pino({ base: null }, stderrLines);
try {
  const config = await readConfig(helperConfigSchema, process.argv[2] ?? '');
  const helper = await startHelper(config, { clock: systemClock, log });
  process.on('SIGTERM', () => helper.stop());
  process.on('SIGINT', () => helper.stop());
  await helper.ended;
  process.exit(0);
} catch (error) {
  const { message, remedy } = factsOf(error);
  process.stderr.write(`fumehood: ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
  process.exit(1);
}
