import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nothingLeft, TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { long } from '../long.ts';
import { changedGuest } from './guest.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'boot-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const main = 'int main(int argc, char **argv) {';

/** Init's code, and the reason that it leads to. The first takes two time limits of 20 s. */
const guests = [
  ['never comes up', 'for (;;) pause();', 'guest_not_ready'],
  ['exits at once', 'return 1;', 'vmm_died'],
] as const;

test.each(long ? guests : guests.slice(1))(
  'a guest that %s is booted once more, then reported, and nothing of it is left',
  async (_, code, reason) => {
    const agent = await TestAgent.start(changedGuest(directory, [['main.c', main, `${main}\n  ${code}`]]));
    try {
      const image = await agent.putImage('plain');
      const mark = await agent.run({ dockerSteps: [{ image }] }, {}, 100_000);
      expect(mark).toMatchObject({ operation: 'markErrored', reason });
      const boot = agent.instance.entries.find(({ key }) => key === 'setup.vm');
      expect(boot?.stderr.toString().match(/did not come up/g)).toHaveLength(2);
      expect(boot?.stderr.toString()).toContain('trying once more');
      expect(mark.errorMessage).toContain('fumehood doctor');
      expect(agent.instance.result).toMatchObject({ leftOver: nothingLeft });
    } finally {
      await agent.stop();
    }
  },
);
