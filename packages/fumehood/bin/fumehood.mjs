#!/usr/bin/env node
// Starts the command line with the pinned Node. The Node that npx found only has to run this file.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const main = join(dirname(fileURLToPath(import.meta.url)), '../src/main.ts');
let node;
try {
  const require = createRequire(import.meta.url);
  node = join(dirname(require.resolve(`node-linux-${process.arch}/package.json`)), 'bin/node');
} catch {
  process.stderr.write('fumehood: the npm packages are not installed\n  Run `npm ci` in the checkout.\n');
  process.exit(2);
}
const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
// The terminal sends SIGINT to the child too, which decides what to do.
process.on('SIGINT', () => {});
for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
child.once('error', (error) => {
  process.stderr.write(
    `fumehood: the pinned Node does not start: ${error.message}\n  Run \`npm ci\` again.\n`,
  );
  process.exitCode = 2;
});
child.once('exit', (code) => {
  process.exitCode = code ?? 143;
});
