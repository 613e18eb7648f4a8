import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Service, unitName, unitOf } from './unit.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-unit-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const facts = {
  command: '/bin/true', // one that exists
  options: ['--listen', '0.0.0.0:8443'],
  state: '/var/lib/fumehood',
  environmentFile: '/etc/fumehood/instance.env',
};

function analyze(service: Service, ...args: string[]) {
  const file = join(directory, unitName(service));
  writeFileSync(file, unitOf(service, facts));
  return spawnSync('systemd-analyze', [...args, file], { encoding: 'utf8' });
}

/** The score of exposure is 0 to 10; the threshold is ten times as much. An executor makes namespaces, cgroups and mounts,
 * and counts the sockets by which another process could keep the network of a guest. */
it.each<[Service, number]>([
  ['instance', 25],
  ['executor', 52],
])('the unit of the %s is no more exposed than %i tenths', (service, threshold) => {
  const { status, stdout } = analyze(service, 'security', '--offline=true', `--threshold=${threshold}`);
  expect(status, stdout.split('\n').slice(-3).join('\n')).toBe(0);
});

it.each<Service>(['instance', 'executor'])('systemd knows every word of the unit of the %s', (service) => {
  const { status, stderr } = analyze(service, 'verify', '--man=no');
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
