import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';

let child: ChildProcess | null = null;
afterEach(async () => {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
});

/** Starts a process that watches for interrupts and prints what happens. A line on its stdin makes it stop watching. */
async function start(): Promise<{
  child: ChildProcess;
  next: () => Promise<string>;
  ended: Promise<unknown[]>;
}> {
  const module = JSON.stringify(pathToFileURL(join(import.meta.dirname, 'interrupt.ts')).href);
  const script = `
    import { watchInterrupts } from ${module};
    const watched = watchInterrupts(() => console.log('first'));
    watched.signal.addEventListener('abort', () => console.log('aborted'));
    process.stdin.once('data', () => { watched.release(); console.log('released'); });
    setInterval(() => {}, 1_000);
    console.log('ready');
  `;
  const started = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child = started;
  const ended = once(started, 'exit');
  let text = '';
  started.stdout.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const next = async () => {
    while (!text.includes('\n')) await once(started.stdout, 'data');
    const [line = ''] = text.split('\n', 1);
    text = text.slice(line.length + 1);
    return line;
  };
  expect(await next()).toBe('ready');
  return { child: started, next, ended };
}

describe.each([
  ['SIGINT', 0],
  ['SIGTERM', 1_100],
] as const)('%s', (name, pauseMs) => {
  it('requests a stop, and ends the command when it comes again', async () => {
    const { child: running, next, ended } = await start();
    running.kill(name);
    expect([await next(), await next()]).toEqual(['aborted', 'first']);
    expect(running.exitCode).toBeNull();
    await setTimeout(pauseMs);
    running.kill(name);
    expect(await ended).toEqual([130, null]);
  });

  it('has its default action again after the release', async () => {
    const { child: running, next, ended } = await start();
    running.stdin?.write('\n');
    expect(await next()).toBe('released');
    running.kill(name);
    expect(await ended).toEqual([null, name]);
  });
});

describe.each(['SIGTERM', 'SIGHUP'] as const)('%s that comes twice', (name) => {
  it('is one request: `timeout` and terminals send it to a process and to its group', async () => {
    const { child: running, next, ended } = await start();
    running.kill(name);
    expect([await next(), await next()]).toEqual(['aborted', 'first']);
    running.kill(name);
    running.stdin?.write('\n');
    expect(await next()).toBe('released');
    running.kill(name);
    expect(await ended).toEqual([null, name]);
  });
});
