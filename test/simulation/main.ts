import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Coverage } from './coverage.ts';
import { type Guard, guards } from './guards.ts';
import { simulate } from './simulation.ts';

const usage = `npm run simulate -- [options]: runs histories of executors and an instance in which everything goes wrong
  --seed N       run the history of this seed, and print everything that happened
  --runs N       run this many histories, each with another seed
  --seconds N    run histories for this long (default: 30)
  --without NAME remove a guard, to check that the simulation notices:
${Object.entries(guards)
  .map(([name, claim]) => `                   ${name}: ${claim}`)
  .join('\n')}
  --help         print this`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    runs: { type: 'string' },
    seconds: { type: 'string' },
    without: { type: 'string' },
    help: { type: 'boolean' },
  },
});

if (values.help) console.log(usage);
else process.exitCode = await main();

async function main(): Promise<number> {
  const { without } = values;
  if (without !== undefined && !(without in guards)) return printUsage(`there is no guard ${without}`);
  const options = without === undefined ? {} : { removed: without as Guard };
  const [seed, runs, seconds] = [values.seed, values.runs, values.seconds].map((text) =>
    text === undefined ? null : Number(text),
  );
  for (const number of [seed, runs, seconds])
    if (number != null && !(Number.isSafeInteger(number) && number >= 0))
      return printUsage('a number is needed');
  const started = Date.now();
  const coverage = new Coverage();
  let count = 0;
  let events = 0;
  for (;;) {
    const one = await simulate(seed ?? randomInt(2 ** 32), options);
    count += 1;
    events += one.events;
    coverage.add(one.coverage);
    if (seed != null) console.log(one.trace.join('\n'));
    if (one.violation !== null) {
      console.log(`seed ${one.seed} after ${count} histories: ${one.violation}`);
      console.log(`again: npm run simulate -- --seed ${one.seed}${without ? ` --without '${without}'` : ''}`);
      return 1;
    }
    const elapsed = (Date.now() - started) / 1_000;
    if (seed != null || (runs != null ? count >= runs : elapsed >= (seconds ?? 30))) {
      const rate = Math.round(events / elapsed);
      const missing = coverage.missing().length;
      console.log(
        `${count} histories, ${events} events, ${rate} per second; ${missing} pairs of transition and fault did not meet`,
      );
      if (seed != null) console.log(`digest ${one.digest}`);
      return 0;
    }
  }
}

/** Prints a mistake in the arguments and the usage; returns the exit code. */
function printUsage(what: string): number {
  console.error(`${what}\n${usage}`);
  return 2;
}
