import { runNested } from './machine.ts';

/**
 * Runs one command in the nested machine, in this repository: `node test/nested/main.ts npx vitest run --project integration FILE`.
 * Its output is the command's, as it comes; it exits with the command's exit code. Variables whose names begin with FUMEHOOD_ are
 * handed on.
 */
const argv = process.argv.slice(2);
if (argv.length === 0) throw new TypeError('name a command: node test/nested/main.ts COMMAND [ARGUMENT…]');
const env = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[0].startsWith('FUMEHOOD_')),
);
const { code } = await runNested(argv, {
  env,
  timeoutMs: 600_000,
  onOutput: (chunk) => void process.stdout.write(chunk),
});
process.exitCode = code;
