import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';

/** Runs a module that may use all of print.ts. Its stdout goes to a pipe that loses its reader after `read` bytes, or to `file`. */
async function printing(script: string, { read = Infinity, file = '' }) {
  const module = JSON.stringify(pathToFileURL(join(import.meta.dirname, 'print.ts')).href);
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', `import * as print from ${module};\n${script}`],
    { stdio: ['ignore', file === '' ? 'pipe' : openSync(file, 'w'), 'pipe'] },
  );
  let bytes = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes >= read) child.stdout?.destroy();
  });
  const [stderr, [code]] = await Promise.all([
    text(child.stderr as NodeJS.ReadableStream),
    once(child, 'close'),
  ]);
  return { bytes, code: Number(code), stderr };
}
/** Writes 1 MiB at a time until it fails, `times` at most, and reports as the command line does. */
const write = (times: number) => `
  const bytes = Buffer.alloc(2 ** 20, 'y\\n');
  for (let i = 0; i < ${times}; i++) await print.writeOutput('stdout', bytes);`;
const untilLost = `print.handleLostOutput(); try {${write(100)}} catch (error) { if (error.code !== 'output_lost') throw error; }`;

it('output whose reader is gone ends a command quietly, with the exit code of SIGPIPE', async () => {
  expect(await printing(untilLost, { read: 1 })).toMatchObject({ code: 141, stderr: '' });
  const lines = 'print.printLines(["y".repeat(2 ** 20)]); await new Promise(setImmediate);';
  const list = `print.handleLostOutput(); for (let i = 0; i < 20; i++) { ${lines} }`;
  expect(await printing(list, { read: 1 })).toMatchObject({ code: 141, stderr: '' });
});

it('without the handler it ends with a stack trace', async () => {
  const { stderr } = await printing(write(100), { read: 1 });
  expect(stderr).toContain('EPIPE');
});

it('output that the disk does not take is an error with its reason', async () => {
  const { code, stderr } = await printing(untilLost, { file: '/dev/full' });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^fumehood: stdout cannot be written: ENOSPC.*\n$/);
});

it('20 MiB go through a pipe whole and without a warning', async () => {
  const { bytes, code, stderr } = await printing(`print.handleLostOutput();${write(20)}`, {});
  expect({ bytes, code, stderr }).toEqual({ bytes: 20 * 2 ** 20, code: 0, stderr: '' });
});
