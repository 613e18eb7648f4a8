import { readConfig, runHelper, logLines, systemClock } from '@fumehood/base';
import { pino } from 'pino';
import { helperConfigSchema } from './config.ts';
import { startHelper } from './helper.ts';

/** The instance's helper: `main.ts CONFIG`. */
const log = pino({ base: null }, logLines);
await runHelper(async (file) =>
  startHelper(await readConfig(helperConfigSchema, file), {
    clock: systemClock,
    log,
    searchPath: process.env.PATH ?? '',
  }),
);
