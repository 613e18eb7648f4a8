import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';

test('a process continues when its log cannot be written', () => {
  const full = openSync('/dev/full', 'w');
  const script = `
    const { logLines } = await import(${JSON.stringify(import.meta.resolve('@fumehood/base'))});
    const { pino } = await import(${JSON.stringify(import.meta.resolve('pino'))});
    const log = pino({ base: null }, logLines);
    for (let n = 0; n < 100; n += 1) log.warn('trouble');
    console.log('it goes on');
  `;
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', full],
    encoding: 'utf8',
    timeout: 60_000,
  });
  closeSync(full);
  expect(ran).toMatchObject({ status: 0, stdout: 'it goes on\n' });
});
