#!/usr/bin/env node
// Starts the command line with the pinned Node, whichever Node runs this file: npx takes the one that it finds. Everything here is
// plain JavaScript, because Node needs 40 ms before it can run the first line of TypeScript.
import { spawn } from 'node:child_process';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { dirname } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const [, , ...args] = process.argv;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Returns the path of the pinned Node. */
function findNode() {
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${process.arch}/bin/node`);
  } catch {
    process.stderr.write(
      `fumehood: the npm packages are not installed\n  Run \`npm ci\` in ${at('../../..')}.\n`,
    );
    return process.exit(2);
  }
}

/** Runs this file in a process of the pinned Node. */
function startWith(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' });
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
}

/**
 * Returns the path of the bundled command line that src/bundle/command-line.ts made, or null if there is none if one of its sources
 * has changed since, or if it is that of another checkout, whose directory was copied. Node keeps what it compiles of the bundle beside it.
 */
function currentBundle() {
  try {
    const cache = at('../../../node_modules/.cache/fumehood/command-line');
    const bundle = JSON.parse(readFileSync(`${cache}/bundle.json`, 'utf8'));
    const isCurrent = bundle.inputs.every(([path, bytes, mtimeMs]) => {
      const found = statSync(path);
      return found.size === bytes && found.mtimeMs === mtimeMs;
    });
    if (!isCurrent || bundle.node !== process.version) return null;
    if (realpathSync(dirname(bundle.directory)) !== realpathSync(cache)) return null;
    if (statSync(bundle.directory).uid === process.getuid())
      module.enableCompileCache(`${bundle.directory}/compiled`);
    return `${bundle.directory}/main.mjs`;
  } catch {
    return null; // missing, damaged, or a source was removed
  }
}

if (args.length === 1 && ['-V', '--version'].includes(args[0])) {
  process.stdout.on('error', () => {}); // its reader may be gone
  process.stdout.write(`${JSON.parse(readFileSync(at('../package.json'), 'utf8')).version}\n`);
} else {
  const node = findNode();
  if (realpathSync(node) === realpathSync(process.execPath))
    await import(currentBundle() ?? '../src/start.ts');
  else startWith(node);
}
