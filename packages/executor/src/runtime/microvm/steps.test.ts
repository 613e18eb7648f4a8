import type { Guest } from '@fumehood/microvm';
import type { ImageConfig } from '@fumehood/oci';
import { expect, it } from 'vitest';
import { fakeClock } from '../../testing/fake-clock.ts';
import { testJob } from '../../testing/test-job.ts';
import { guestLimits } from './guest-limits.ts';
import { checkCommands, runSteps } from './steps.ts';
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

it.each([
  ['that is stopped', 1_000, ['step-0'], 1_000 + 3_000 + guestLimits.reportMs],
  ['at the deadline of its job', null, [], 60_000 + 3_000 + guestLimits.reportMs],
])(
  'a step %s ends with its VM after its grace period, if the guest does not end it',
  async (_what, stopAt, asked, end) => {
    const clock = fakeClock();
    const ending: { step: (() => void) | null } = { step: null };
    const running = Promise.withResolvers<never>();
    const stopped: string[] = [];
    let isKilled = false;
    const ran = runSteps(
      {
        guest: {
          step: () => running.promise,
          stopStep: (id) => void stopped.push(id),
        } as Partial<Guest> as Guest,
        vm: {
          kill() {
            isKilled = true;
            running.reject(new Error('the VM is gone'));
          },
        },
        job: {
          ...testJob({}, { deadlineMs: 60_000, stopGraceMs: 3_000 }),
          dockerSteps: [{ image: 'x', argv: ['a'] }],
        } as unknown as ValidatedJob,
        images: [{ file: '', config: { env: [], entrypoint: [], cmd: [], user: '', workingDir: '/' } }],
        lease: { stopped: new AbortController().signal },
        setEndStep(endStep) {
          ending.step = endStep;
        },
        ...{ clock, limits: guestLimits, hostname: 'job', extraEnvironment: {} },
        openLog: () => ({ write: () => Promise.resolve(), end: () => Promise.resolve() }),
        openStdin: () => expect.fail('the job has no stdin'),
      },
      () => {},
    ).catch(() => {});
    await clock.advance(stopAt ?? 0);
    if (stopAt !== null) ending.step?.();
    await clock.advance(end - (stopAt ?? 0) - 1);
    expect({ stopped, isKilled }).toEqual({ stopped: asked, isKilled: false });
    await clock.advance(1);
    expect(isKilled).toBe(true);
    await ran;
    expect(ending.step).toBeNull();
  },
);
