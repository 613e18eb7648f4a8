import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { IndexGenerator } from '../../bench/codeintel/generate.ts';
import { openTestServer } from '../../packages/instance/src/db/testing.ts';

const script = resolve(import.meta.dirname, '../../bench/codeintel/process.ts');

test('an index of 1 GB is stored by a process that never has more than 700 MiB of memory', async () => {
  const server = openTestServer();
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-large-index-'));
  try {
    const file = join(directory, 'index.scip.gz');
    const { bytes } = await new IndexGenerator(1.1e9).write(file, 0);
    expect(bytes).toBeGreaterThan(1e9);
    const connection = JSON.stringify(await server.clone());
    const output = execFileSync(process.execPath, [script, connection, '0'.repeat(40), file]);
    const { rss, seconds } = JSON.parse(output.toString()) as { rss: number; seconds: number };
    console.log(JSON.stringify({ bytes, seconds, rss }));
    expect(rss).toBeLessThan(700);
  } finally {
    rmSync(directory, { recursive: true });
    await server.stop();
  }
}, 900_000);
