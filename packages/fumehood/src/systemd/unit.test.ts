import { expect, it } from 'vitest';
import { changesOf, unitOf } from './unit.ts';

it('words with blanks, percent and dollar signs reach the command as they are', () => {
  const unit = unitOf('instance', {
    command: '/opt/my apps/fumehood',
    options: ['--url', 'https://x/%20$HOME'],
    state: '/srv/a "b"',
    environmentFile: '/etc/x',
  });
  expect(unit).toContain('ExecStart="/opt/my apps/fumehood" instance start --url https://x/%%20$$HOME\n');
  expect(unit).toContain('Environment="FUMEHOOD_STATE=/srv/a \\"b\\""\n');
  expect(unit).toContain('ReadWritePaths="/srv/a \\"b\\""\n');
});

it('an instance does not run on the state of an executor, nor an executor on that of an instance', () => {
  const facts = { command: '/f', options: [], state: '/var/lib/x', environmentFile: '/e' };
  expect(unitOf('instance', facts)).toContain('AssertPathExists=!/var/lib/x/executor.json\n');
  expect(unitOf('executor', facts)).toContain('AssertPathExists=/var/lib/x/executor.json\n');
  expect(unitOf('executor', facts)).toContain('StateDirectory=x\n');
});

it("an admin's options replace the command of the packaged unit and nothing else", () => {
  const facts = { command: '/f', options: ['--url', 'u'], state: '/var/lib/x', environmentFile: '/e' };
  expect(changesOf('instance', facts)).toBe(
    [
      ...['[Unit]', 'AssertPathExists=', 'AssertPathExists=!/var/lib/x/executor.json', ''],
      ...['[Service]', 'ExecStart=', 'ExecStart=/f instance start --url u'],
      ...['Environment=FUMEHOOD_STATE=/var/lib/x', 'StateDirectory=x', ''],
    ].join('\n'),
  );
});
