import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { FumehoodError } from '../errors.ts';
import { testIdentity } from '../testing/hostile.ts';
import { type HelperChild, startChild, untilStarted } from './child.ts';

const isRoot = process.getuid?.() === 0;
const facts = z.object({ port: z.int() });
const died = (how: string) => new FumehoodError({ code: 'child_died', message: how });

let directory: string;
let child: HelperChild | null = null;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-child-'));
  chmodSync(directory, 0o755);
  cpSync(process.execPath, join(directory, 'node'), { dereference: true });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(async () => {
  child?.process.kill('SIGKILL');
  await child?.exited;
  child = null;
});

/** Starts a script that everybody can read, with `config` as its argument. */
async function start(source: string, config = 'none'): Promise<HelperChild> {
  const script = join(directory, 'child.mjs');
  writeFileSync(script, source, { mode: 0o644 });
  child = await startChild({
    node: join(directory, 'node'),
    script,
    config,
    identity: isRoot ? testIdentity : null,
  });
  return child;
}
const sends = (message: object) => `process.send(${JSON.stringify(message)}); setInterval(() => {}, 1_000);`;

describe("a helper's child", () => {
  it('runs without privilege', async () => {
    const { process: running } = await start(sends({ type: 'child.started', facts: { port: 1 } }));
    await untilStarted(child as HelperChild, facts, died);
    const status = readFileSync(`/proc/${running.pid}/status`, 'utf8');
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    if (!isRoot) return;
    expect(statSync(`/proc/${running.pid}`).uid).toBe(testIdentity.uid);
    expect(status).toMatch(/^Groups:\t\s*$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(status, set).toMatch(new RegExp(`^${set}:\t0+$`, 'm'));
  });

  it('reports that it has started, with facts that are checked', async () => {
    await start(sends({ type: 'child.started', facts: { port: 80 } }));
    expect(await untilStarted(child as HelperChild, facts, died)).toEqual({ port: 80 });
    child?.process.kill('SIGKILL');
    await child?.exited;
    await start(sends({ type: 'child.started', facts: { port: 'x' } }));
    await expect(untilStarted(child as HelperChild, facts, died)).rejects.toThrow('port');
  });

  it('reports why it cannot start, and is dead then', async () => {
    const error = { code: 'port_in_use', message: 'the port is in use', remedy: 'Choose another one.' };
    const { exited } = await start(sends({ type: 'child.failed', error }));
    await expect(untilStarted(child as HelperChild, facts, died)).rejects.toMatchObject(error);
    expect(await exited).toEqual({ code: null, signal: 'SIGKILL' });
  });

  it('that ends without a report is an error, which says how it ended', async () => {
    await start('process.exit(7)');
    await expect(untilStarted(child as HelperChild, facts, died)).rejects.toMatchObject({
      code: 'child_died',
      message: '7',
    });
  });

  it('gets its configuration file as its argument, and nothing of the environment', async () => {
    process.env.FUMEHOOD_TEST_SECRET = 'secret';
    await start(
      `const names = Object.keys(process.env).filter((name) => name.startsWith('FUMEHOOD'));
       process.send({ type: 'child.started', facts: { argv: process.argv.slice(2), names } });`,
      '/etc/config.json',
    );
    delete process.env.FUMEHOOD_TEST_SECRET;
    const seen = z.object({ argv: z.array(z.string()), names: z.array(z.string()) });
    expect(await untilStarted(child as HelperChild, seen, died)).toEqual({
      argv: ['/etc/config.json'],
      names: [],
    });
  });
});
