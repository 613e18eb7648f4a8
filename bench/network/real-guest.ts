import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../test/stack.ts';
import { median } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

const metrics = [
  ['new connection, p50 µs', 'connections', 'SERVER', '200'],
  ['DNS, p50 µs', 'names', '172.31.0.1', '100'],
  ['requests/s, 32 connections', 'requests', 'SERVER', '1000'],
  ['MiB/s up', 'up', 'SERVER', '2000'],
  ['MiB/s down', 'down', 'SERVER', '2000'],
] as const;
const fumehood = join(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

/** Measures our network from a guest of QEMU without hardware acceleration: most of it is the guest's own time. The caller stops what this starts in `state`. */
export async function measureRealGuest(
  state: string,
  image: string,
  server: string,
  nameServer: string,
): Promise<string[]> {
  writeFileSync(join(state, 'settings.json'), JSON.stringify({ nameServers: [nameServer] }));
  const commands = metrics.map(([, ...args]) => `load ${args.join(' ').replace('SERVER', server)}; echo`);
  const { code, stdout, stderr } = await runProgram(
    [
      ...[
        process.execPath,
        fumehood,
        'run',
        '--accept',
        'vm-emulated',
        '--memory',
        '256',
        '--scratch',
        '256',
      ],
      ...['--network', 'public', `docker-archive:${image}`, '--', 'sh', '-euc', commands.join('\n')],
    ],
    { env: { FUMEHOOD_STATE: state } },
  );
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
}
