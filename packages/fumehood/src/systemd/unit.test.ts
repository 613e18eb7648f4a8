import { expect, it } from 'vitest';
import { unitOf } from './unit.ts';

it('words with blanks, percent and dollar signs reach the command as they are', () => {
  const unit = unitOf('instance', {
    command: '/opt/my apps/fumehood',
    options: ['--url', 'https://x/%20$HOME'],
    state: '/srv/a "b"',
    environment: { A: '1 2' },
    environmentFile: '/etc/x',
  });
  expect(unit).toContain('ExecStart="/opt/my apps/fumehood" instance start --url https://x/%%20$$HOME\n');
  expect(unit).toContain('Environment="FUMEHOOD_STATE=/srv/a \\"b\\""\n');
  expect(unit).toContain('Environment="A=1 2"\n');
});
