import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { Stack } from '../../test/stack.ts';
import { median } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

const metrics = [
  ['new connection, p50 µs', 'connections', 'SERVER', '200'],
  ['DNS, p50 µs', 'names', '172.31.0.1', '100'],
  ['requests/s, 32 connections', 'requests', 'SERVER', '1000'],
  ['MiB/s up', 'up', 'SERVER', '2000'],
  ['MiB/s down', 'down', 'SERVER', '2000'],
] as const;

/** Measures our network from a guest of QEMU without hardware acceleration: most of it is the guest's own time. */
export async function measureRealGuest(
  directory: string,
  server: string,
  nameServer: string,
): Promise<string[]> {
  const stack = await Stack.make();
  try {
    const content = readFileSync(join(directory, 'load'));
    const image = await busyboxImage(directory, 'load', {}, [{ path: 'bin/load', content, mode: 0o755 }]);
    writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ nameServers: [nameServer] }));
    const commands = metrics.map(([, ...args]) => `load ${args.join(' ').replace('SERVER', server)}; echo`);
    const { code, stdout, stderr } = await stack.fumehood([
      ...['run', '--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', '--network', 'public'],
      ...[`docker-archive:${image.file}`, '--', 'sh', '-euc', commands.join('\n')],
    ]);
    if (code !== 0) throw new Error(`the guest failed: ${stderr}`);
    const values = stdout
      .trim()
      .split(/\n\n+/)
      .map((part) => median(part.split('\n').map(Number)));
    return [
      '| from a real guest, emulated | |',
      '| --- | ---: |',
      ...metrics.map(([name], index) => `| ${name} | ${formatFigure(values[index] ?? Number.NaN)} |`),
      '',
    ];
  } finally {
    await stack.stop();
  }
}
