import type { ImageConfig } from '@fumehood/oci';
import { expect, it } from 'vitest';
import { testJob } from '../../testing/test-job.ts';
import { checkCommands } from './steps.ts';
import type { ValidatedJob } from './validate-job.ts';

/** Checks a job of one step in an image with this configuration. */
function check(argv: string[], image: Partial<ImageConfig>): void {
  const config = { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/', ...image };
  const job = { ...testJob({}), dockerSteps: [{ image: 'x', argv }] } as unknown as ValidatedJob;
  checkCommands({ job, images: [{ file: '', config }], hostname: 'job', extraEnvironment: {} });
}

it('a command that its image makes too large for Linux is refused before a VM starts', () => {
  const half = Array.from({ length: 3_000 }, () => 'a');
  check(half, { env: ['A=b'] });
  expect(() => check(half, { entrypoint: half })).toThrow(
    'step 0 cannot be executed: there are 6000 arguments',
  );
  expect(() => check(['a'], { env: [`A=${'a'.repeat(131_070)}`] })).toThrow('variable 3 has 131072 bytes');
  expect(() => check([], {})).toThrow('names no command');
});
