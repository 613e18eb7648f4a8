import { systemClock } from '@fumehood/base';
import { expect, it } from 'vitest';
import { lockState } from './lock.ts';
import { openState } from './state.ts';

it('a command that waited for the lock of a state directory learns that the directory was removed', async () => {
  const state = openState({ FUMEHOOD_STATE: '/nonexistent/state' }, 0);
  await expect(lockState({ state, clock: systemClock, onProgress: () => {} })).rejects.toMatchObject({
    code: 'state_gone',
    message: expect.stringContaining('/nonexistent/state') as string,
  });
});
