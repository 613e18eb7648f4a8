import { factsOf, stderrLines, systemClock } from '@fumehood/base';
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import { keeperConfigSchema } from './config.ts';
import { startKeeper } from './keeper.ts';

/** The instance's privileged parent: `main.ts CONFIG`. */
const log = pino({ base: null }, stderrLines);
try {
  const config = readConfig(keeperConfigSchema, process.argv[2] ?? '');
  const keeper = await startKeeper(config, { clock: systemClock, log, searchPath: process.env.PATH ?? '' });
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await keeper.stop();
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
} catch (error) {
  const { message, remedy } = factsOf(error);
  process.stderr.write(`fumehood: ${message}\n${remedy ? `  ${remedy}\n` : ''}`);
  process.exit(1);
}
