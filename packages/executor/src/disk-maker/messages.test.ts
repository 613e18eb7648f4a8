import type { ImageConfig } from '@fumehood/oci';
import { expect, test } from 'vitest';
import { diskAnswerSchema } from './messages.ts';

const config: Required<ImageConfig> = {
  ...{ env: ['A=1'], entrypoint: ['/e'], cmd: ['c'], user: '7', workingDir: '/w', volumes: ['/v'] },
  ...{ stopSignal: 3, warning: 'for another platform', root: { mode: 0o1777, uid: 2 ** 32 - 2, gid: 0 } },
};

test('the answer of a disk maker keeps everything that a step needs to know about its image', () => {
  const answer = { type: 'image', config };
  expect(diskAnswerSchema.parse(answer)).toEqual(answer);
});

test('the answer of a disk maker that was taken over cannot have an owner or a mode that does not exist', () => {
  for (const root of [
    { mode: 0o10000, uid: 0, gid: 0 },
    { mode: 0o755, uid: -1, gid: 0 },
    { mode: 0o755, uid: 0, gid: 2 ** 32 - 1 },
  ])
    expect(() => diskAnswerSchema.parse({ type: 'image', config: { ...config, root } })).toThrow();
});
