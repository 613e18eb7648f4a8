import { describe, expect, it } from 'vitest';
import { guestNotReady } from '../errors.ts';
import type { VmExit } from '../vm/spec.ts';
import { failureOf } from './template.ts';

const failed = {
  error: guestNotReady('its control stream ended') as Error,
  limitMs: 10_000,
  stage: 'not_ready' as 'not_ready' | 'interrupted',
  exit: null as VmExit | null,
  outOfMemory: false,
  console: '',
};
const ended = (facts: Partial<VmExit>): VmExit => ({
  code: 0,
  signal: null,
  reason: 'exited',
  stderr: '',
  ...facts,
});

describe('the reason why no template could be made', () => {
  it.each<[string, string, string, Partial<typeof failed>]>([
    ['the guest did not come up', 'template_not_ready', 'its control stream ended', {}],
    ['the guest wrote something', 'template_not_ready', 'ended; its console: panic', { console: 'panic' }],
    [
      'its time was over',
      'template_not_ready',
      'it took longer than 10 s',
      { exit: ended({ reason: 'lease' }) },
    ],
    [
      'its VMM died while it was saved',
      'template_interrupted',
      'its VMM ended (exited, signal 11): assertion failed',
      { stage: 'interrupted', exit: ended({ signal: 11, stderr: 'assertion failed\n' }) },
    ],
    [
      'the kernel killed a process for want of memory',
      'template_out_of_memory',
      'its VMM ended (killed, code null)',
      { outOfMemory: true, exit: ended({ reason: 'killed', code: null }) },
    ],
    [
      'the launcher got no memory',
      'template_out_of_memory',
      'guest memory: Cannot allocate memory',
      {
        exit: ended({
          code: 125,
          reason: 'start',
          stderr: 'launcher: guest memory: Cannot allocate memory\n',
        }),
      },
    ],
    [
      'the state of its devices could not be written',
      'template_out_of_memory',
      'ENOMEM',
      { stage: 'interrupted', error: new Error('ENOMEM: not enough memory, write') },
    ],
  ])('names it when %s', (_when, code, message, facts) => {
    expect(failureOf({ ...failed, ...facts })).toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});
