import { readConfig, runHelper, logLines, systemClock } from '@fumehood/base';
import { pino } from 'pino';
import { helperConfigSchema } from './config.ts';
import { startHelper } from './helper.ts';

/** The executor's helper: `main.ts CONFIG`. The first SIGTERM lets the agent's jobs finish, the second one stops them. */
const log = pino({ base: null }, logLines);
await runHelper(async (file) =>
  startHelper(await readConfig(helperConfigSchema, file), { clock: systemClock, log }),
);
