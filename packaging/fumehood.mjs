#!/usr/bin/env node
// Starts the command line with the Node that comes with it, whichever Node runs this file. Everything here is plain JavaScript that
// Node 14 understands.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { version, fumehood } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const args = process.argv.slice(2);

/** Returns the Node that comes with the package, or this one if it is new enough. */
function findNode() {
  const own = join(root, 'node/bin/node');
  if (existsSync(own)) return own;
  try {
    return createRequire(import.meta.url).resolve(`node-linux-${process.arch}/bin/node`);
  } catch {
    return isNewEnough(process.versions.node) ? process.execPath : null;
  }
}

function isNewEnough(running) {
  const [major, minor] = running.split('.').map(Number);
  const [neededMajor, neededMinor] = fumehood.node.split('.').map(Number);
  return major > neededMajor || (major === neededMajor && minor >= neededMinor);
}

/** Runs this file in a process of another Node. */
function startWith(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...args], { stdio: 'inherit' });
  // The terminal sends SIGINT to the child too, which decides what to do.
  process.on('SIGINT', () => {});
  for (const name of ['SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name));
  child.once('error', (error) => fail(`${node} does not start: ${error.message}`));
  child.once('exit', (code) => {
    process.exitCode = code === null ? 143 : code;
  });
}

function fail(message) {
  process.stderr.write(`fumehood: ${message}\n`);
  process.exitCode = 2;
}

/** Lets Node keep what it compiles in the user's cache: each later command starts in a third of the time. */
function keepCompiled() {
  try {
    const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
    module.enableCompileCache(join(cache, `fumehood/compiled-${version}`));
  } catch {
    // a user without a home directory
  }
}

const node = findNode();
if (args.length === 1 && ['-V', '--version'].includes(args[0])) {
  process.stdout.on('error', () => {}); // its reader may be gone
  process.stdout.write(`${version}\n`);
} else if (node === null) {
  fail(
    `Node ${process.versions.node} is too old: install Node ${fumehood.node} or newer, or reinstall Fumehood without --omit=optional`,
  );
} else if (realpathSync(node) === realpathSync(process.execPath)) {
  keepCompiled();
  await import(new URL('../lib/command-line/main.mjs', import.meta.url).href);
} else {
  startWith(node);
}
